/* UTF-8 validation in pieces, included by _octets.pxi: the first octet that cannot follow is found wherever it is cut.

   Octet by octet with the state of one sequence; long texts by J. Keiser, D. Lemire, "Validating UTF-8 in less than one
   instruction per byte" (2021), where the processor can look up 16 or 32 octets in a table at once. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What the next octet of an unfinished sequence must be; need == 0 between sequences. */
typedef struct { unsigned char need, low, high; } ab_utf8;

#define AB_HIGH_BITS UINT64_C(0x8080808080808080)
#define AB_FOLLOWS(octet) (((octet) & 0xC0) == 0x80)

static size_t ab_skip_ascii(const unsigned char *text, size_t at, size_t size)
{
    uint64_t a, b, c, d;
    while (size - at >= 32) {
        memcpy(&a, text + at, 8);
        memcpy(&b, text + at + 8, 8);
        memcpy(&c, text + at + 16, 8);
        memcpy(&d, text + at + 24, 8);
        if ((a | b | c | d) & AB_HIGH_BITS)
            break;
        at += 32;
    }
    while (size - at >= 8) {
        memcpy(&a, text + at, 8);
        a &= AB_HIGH_BITS;
        if (a) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + ((size_t)__builtin_ctzll(a) >> 3);
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < size && text[at] < 0x80)
        at++;
    return at;
}

/* The index of the first octet from `at` on that cannot continue valid UTF-8 (Unicode table 3-7); `size` without one.
   Stops early between two sequences, at `stop` or later. `*is_bad`: whether it stopped at a bad octet. */
static size_t ab_utf8_octets(ab_utf8 *state, const unsigned char *text, size_t at, size_t stop, size_t size, int *is_bad)
{
    unsigned need = state->need, low = state->low, high = state->high;
    *is_bad = 1;
    while (at < size && (at < stop || need)) {
        unsigned value = text[at];
        if (need) {
            if (value < low || value > high)
                return at;
            low = 0x80;
            high = 0xBF;
            need--;
            at++;
        } else if (value < 0x80) {
            at = ab_skip_ascii(text, at, size);
        } else {
            low = 0x80;
            high = 0xBF;
            if (value < 0xC2) {
                return at; /* a stray continuation, or an overlong form of ASCII */
            } else if (value < 0xE0) {
                if (size - at > 1 && AB_FOLLOWS(text[at + 1])) { /* the whole sequence is here and right */
                    at += 2;
                    continue;
                }
                need = 1;
            } else if (value < 0xF0) {
                if (value == 0xE0)
                    low = 0xA0; /* overlong below */
                else if (value == 0xED)
                    high = 0x9F; /* surrogates above */
                if (size - at > 2 && text[at + 1] >= low && text[at + 1] <= high && AB_FOLLOWS(text[at + 2])) {
                    at += 3;
                    continue;
                }
                need = 2;
            } else if (value < 0xF5) {
                if (value == 0xF0)
                    low = 0x90;
                else if (value == 0xF4)
                    high = 0x8F; /* beyond U+10FFFF above */
                if (size - at > 3 && text[at + 1] >= low && text[at + 1] <= high && AB_FOLLOWS(text[at + 2]) &&
                    AB_FOLLOWS(text[at + 3])) {
                    at += 4;
                    continue;
                }
                need = 3;
            } else {
                return at;
            }
            at++;
        }
    }
    *is_bad = 0;
    state->need = (unsigned char)need;
    state->low = (unsigned char)low;
    state->high = (unsigned char)high;
    return at;
}

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__)) && !defined(AB_UTF8_PORTABLE)
#define AB_UTF8_WIDE 1
#include <immintrin.h>

/* What is wrong with two octets in a row, one bit each; a pair is bad when all three tables agree on a bit. */
enum {
    AB_TOO_SHORT = 1,    /* a lead, and no continuation behind it */
    AB_TOO_LONG = 2,     /* ASCII, and a continuation behind it */
    AB_OVERLONG_3 = 4,   /* E0, 80 to 9F */
    AB_TOO_LARGE = 8,    /* F4, 90 to BF; F5 and above */
    AB_SURROGATE = 16,   /* ED, A0 to BF */
    AB_OVERLONG_2 = 32,  /* C0, C1 */
    AB_OVERLONG_4 = 64,  /* F0, 80 to 8F; F5 and above, 80 to 8F */
    AB_TWO_CONTS = 128,  /* two continuations: right only behind a lead of three or four */
    AB_CARRY = AB_TOO_SHORT | AB_TOO_LONG | AB_TWO_CONTS,
    AB_ABOVE_F4 = AB_CARRY | AB_TOO_LARGE | AB_OVERLONG_4
};

static const unsigned char ab_first_high[16] = {
    AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG, AB_TOO_LONG,
    AB_TWO_CONTS, AB_TWO_CONTS, AB_TWO_CONTS, AB_TWO_CONTS,
    AB_TOO_SHORT | AB_OVERLONG_2, AB_TOO_SHORT, AB_TOO_SHORT | AB_OVERLONG_3 | AB_SURROGATE,
    AB_TOO_SHORT | AB_TOO_LARGE | AB_OVERLONG_4,
};
static const unsigned char ab_first_low[16] = {
    AB_CARRY | AB_OVERLONG_3 | AB_OVERLONG_2 | AB_OVERLONG_4, AB_CARRY | AB_OVERLONG_2, AB_CARRY, AB_CARRY,
    AB_CARRY | AB_TOO_LARGE, AB_ABOVE_F4, AB_ABOVE_F4, AB_ABOVE_F4,
    AB_ABOVE_F4, AB_ABOVE_F4, AB_ABOVE_F4, AB_ABOVE_F4,
    AB_ABOVE_F4, AB_ABOVE_F4 | AB_SURROGATE, AB_ABOVE_F4, AB_ABOVE_F4,
};
#define AB_SECOND (AB_TOO_LONG | AB_OVERLONG_2 | AB_TWO_CONTS)
static const unsigned char ab_second_high[16] = {
    AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT,
    AB_SECOND | AB_OVERLONG_3 | AB_OVERLONG_4, AB_SECOND | AB_OVERLONG_3 | AB_TOO_LARGE,
    AB_SECOND | AB_SURROGATE | AB_TOO_LARGE, AB_SECOND | AB_SURROGATE | AB_TOO_LARGE,
    AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT, AB_TOO_SHORT,
};

#define AB_LOAD16(p) _mm_loadu_si128((const __m128i *)(p))
#define AB_LOAD32(p) _mm256_loadu_si256((const __m256i *)(p))
#define AB_TABLE32(p) _mm256_broadcastsi128_si256(AB_LOAD16(p))

/* What is wrong with 16 octets, seen with the three before them; all 0: nothing. */
__attribute__((target("ssse3"), always_inline)) static inline __m128i ab_wrong16(const unsigned char *text)
{
    const __m128i nibble = _mm_set1_epi8(0x0F), first = AB_LOAD16(text - 1), second = AB_LOAD16(text);
    __m128i pairs = _mm_and_si128(
        _mm_and_si128(
            _mm_shuffle_epi8(AB_LOAD16(ab_first_high), _mm_and_si128(_mm_srli_epi16(first, 4), nibble)),
            _mm_shuffle_epi8(AB_LOAD16(ab_first_low), _mm_and_si128(first, nibble))),
        _mm_shuffle_epi8(AB_LOAD16(ab_second_high), _mm_and_si128(_mm_srli_epi16(second, 4), nibble)));
    /* The top bit is set in the third octet of three and four, and in the fourth of four: there two are right. */
    __m128i third = _mm_subs_epu8(AB_LOAD16(text - 2), _mm_set1_epi8(0xE0 - 0x80));
    __m128i fourth = _mm_subs_epu8(AB_LOAD16(text - 3), _mm_set1_epi8(0xF0 - 0x80));
    return _mm_xor_si128(_mm_and_si128(_mm_or_si128(third, fourth), _mm_set1_epi8((char)0x80)), pairs);
}

/* Where octets are no longer known to be right, in steps: what is before is, but for an unfinished sequence at its end.
   Text before `at` is so, ends between two sequences, and has three octets. */
__attribute__((target("ssse3"))) static size_t ab_utf8_by16(const unsigned char *text, size_t at, size_t size)
{
    int is_ascii = 1;
    for (; size - at >= 32; at += 32) {
        int was_ascii = is_ascii;
        is_ascii = !_mm_movemask_epi8(_mm_or_si128(AB_LOAD16(text + at), AB_LOAD16(text + at + 16)));
        if (is_ascii && was_ascii)
            continue;
        __m128i wrong = _mm_or_si128(ab_wrong16(text + at), ab_wrong16(text + at + 16));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xFFFF)
            break;
    }
    return at;
}

__attribute__((target("avx2"), always_inline)) static inline __m256i ab_wrong32(const unsigned char *text)
{
    const __m256i nibble = _mm256_set1_epi8(0x0F), first = AB_LOAD32(text - 1), second = AB_LOAD32(text);
    __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(AB_TABLE32(ab_first_high), _mm256_and_si256(_mm256_srli_epi16(first, 4), nibble)),
            _mm256_shuffle_epi8(AB_TABLE32(ab_first_low), _mm256_and_si256(first, nibble))),
        _mm256_shuffle_epi8(AB_TABLE32(ab_second_high), _mm256_and_si256(_mm256_srli_epi16(second, 4), nibble)));
    __m256i third = _mm256_subs_epu8(AB_LOAD32(text - 2), _mm256_set1_epi8(0xE0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(AB_LOAD32(text - 3), _mm256_set1_epi8(0xF0 - 0x80));
    return _mm256_xor_si256(_mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80)), pairs);
}

__attribute__((target("avx2"))) static size_t ab_utf8_by32(const unsigned char *text, size_t at, size_t size)
{
    int is_ascii = 1;
    for (; size - at >= 64; at += 64) {
        int was_ascii = is_ascii;
        is_ascii = !_mm256_movemask_epi8(_mm256_or_si256(AB_LOAD32(text + at), AB_LOAD32(text + at + 32)));
        if (is_ascii && was_ascii)
            continue;
        __m256i wrong = _mm256_or_si256(ab_wrong32(text + at), ab_wrong32(text + at + 32));
        if (!_mm256_testz_si256(wrong, wrong))
            break;
    }
    return at;
}

/* Where a sequence begins before which all is right, as far as that is found in steps. */
static size_t ab_utf8_wide(const unsigned char *text, size_t at, size_t size)
{
    size_t begin = at, back;
    if (__builtin_cpu_supports("avx2"))
        at = ab_utf8_by32(text, at, size);
    else if (__builtin_cpu_supports("ssse3"))
        at = ab_utf8_by16(text, at, size);
    for (back = 1; back <= 3 && back <= at - begin && text[at - back] >= 0x80; back++)
        if (text[at - back] >= 0xC0)
            return at - back;
    return at;
}
#endif

/* The index of the first octet that cannot continue valid UTF-8, or size; `state` goes on from piece to piece. */
static size_t ab_check_utf8(ab_utf8 *state, const unsigned char *text, size_t size)
{
    size_t at = state->need ? 0 : ab_skip_ascii(text, 0, size);
    int is_bad;
#if defined(AB_UTF8_WIDE)
    if (size - at >= 64) {
        at = ab_utf8_octets(state, text, at, 3, size, &is_bad);
        if (is_bad)
            return at;
        at = ab_utf8_wide(text, at, size);
    }
#endif
    return ab_utf8_octets(state, text, at, size, size, &is_bad);
}
