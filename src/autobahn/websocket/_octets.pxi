# What is done to many octets at once, in C: included by _frames.pyx.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__GLIBC__)
    #include <malloc.h>
    #endif

    /* Free memory between blocks in use goes back to the system, too. */
    static void ab_trim(void)
    {
    #if defined(__GLIBC__)
        malloc_trim(0);
    #endif
    }

    #if defined(_MSC_VER)
    #define AB_RESTRICT __restrict
    #else
    #define AB_RESTRICT __restrict__
    #endif

    /* dst = src XOR the repeated key (RFC 6455 5.3). */
    static void ab_xor(unsigned char *AB_RESTRICT dst, const unsigned char *AB_RESTRICT src, size_t size,
                       const unsigned char *key)
    {
        uint64_t word;
        size_t at = 0;
        memcpy(&word, key, 4);
        memcpy((unsigned char *)&word + 4, key, 4);
        for (; at + 8 <= size; at += 8) {
            uint64_t value;
            memcpy(&value, src + at, 8);
            value ^= word;
            memcpy(dst + at, &value, 8);
        }
        for (; at < size; at++)
            dst[at] = src[at] ^ key[at & 3];
    }

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

    /* The index of the first octet that cannot continue valid UTF-8 (Unicode table 3-7), or size. */
    static size_t ab_check_utf8(ab_utf8 *state, const unsigned char *text, size_t size)
    {
        unsigned need = state->need, low = state->low, high = state->high;
        size_t at = 0;
        while (at < size) {
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
        state->need = (unsigned char)need;
        state->low = (unsigned char)low;
        state->high = (unsigned char)high;
        return size;
    }
    """
    ctypedef struct ab_utf8:
        octet need
        octet low
        octet high

    void ab_xor(octet *, const octet *, size_t, const octet *) noexcept
    void ab_trim() noexcept nogil
    size_t ab_check_utf8(ab_utf8 *, const octet *, size_t) noexcept
