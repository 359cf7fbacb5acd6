/* The block validators of _utf8.h against the one that goes octet by octet: the same octet, the same state, under any split.
   Texts lie in memory of exactly their size, so that AddressSanitizer sees every octet too many. Exit status 1: a difference. */
#include <stdio.h>
#include <stdlib.h>
#include "_utf8.h"

#if defined(AB_UTF8_WIDE)
typedef size_t (*By)(const unsigned char *, size_t, size_t);

static const unsigned char EDGES[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                      0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};

static unsigned below(unsigned most)
{
    static uint64_t seed = 20261123;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % most;
}

static size_t add(unsigned char *to, unsigned code)
{
    if (code < 0x80)
        return *to = (unsigned char)code, 1;
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t at = size - 1; at > 0; at--, code >>= 6)
        to[at] = (unsigned char)(0x80 | (code & 63));
    to[0] = (unsigned char)((0xF00 >> size & 0xFF) | code);
    return size;
}

/* Valid text but for a few octets, mostly. */
static size_t make(unsigned char *text, size_t most)
{
    static const unsigned BELOW[] = {0x80, 0x80, 0x800, 0x800, 0x10000, 0x110000};
    size_t size = 0, kinds = 1 + below(6), want = below((unsigned)most - 4);
    while (size < want) {
        unsigned code = below(BELOW[below((unsigned)kinds)]);
        size += add(text + size, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
    }
    for (unsigned wrong = below(4); wrong > 1 && size; wrong--)
        text[below((unsigned)size)] = EDGES[below(sizeof EDGES)];
    return size;
}

/* ab_check_utf8 with this way to go in blocks. */
static size_t check(By by, ab_utf8 *state, const unsigned char *text, size_t size)
{
    int is_bad;
    size_t at = ab_utf8_octets(state, text, 0, 3, size, &is_bad), begin = at;
    if (is_bad || at < 3)
        return at;
    at = by(text, at, size);
    for (size_t back = 1; back <= 3 && back <= at - begin && text[at - back] >= 0x80; back++)
        if (text[at - back] >= 0xC0) {
            at -= back;
            break;
        }
    return ab_utf8_octets(state, text, at, size, size, &is_bad);
}

static int same(ab_utf8 a, ab_utf8 b) { return a.need == b.need && (!a.need || (a.low == b.low && a.high == b.high)); }

static long differences(By by, long count)
{
    unsigned char text[700];
    long bad = 0, wrong = 0;
    for (long number = 0; number < count; number++) {
        size_t size = make(text, sizeof text), cut = below((unsigned)size + 1);
        ab_utf8 one = {0, 0, 0}, two = {0, 0, 0}, three = {0, 0, 0};
        int is_bad;
        unsigned char *first = malloc(cut + !cut), *second = malloc(size - cut + (size == cut)), *whole = malloc(size + !size);
        memcpy(first, text, cut);
        memcpy(second, text + cut, size - cut);
        memcpy(whole, text, size);
        size_t expected = ab_utf8_octets(&one, whole, 0, size, size, &is_bad);
        size_t found = by ? check(by, &two, whole, size) : ab_check_utf8(&two, whole, size);
        size_t pieces = by ? check(by, &three, first, cut) : ab_check_utf8(&three, first, cut);
        if (pieces == cut)
            pieces += by ? check(by, &three, second, size - cut) : ab_check_utf8(&three, second, size - cut);
        bad += expected != size;
        wrong += found != expected || pieces != expected || (!is_bad && !(same(one, two) && same(one, three)));
        free(first);
        free(second);
        free(whole);
    }
    if (bad < count / 8 || bad > count - count / 8)
        return fprintf(stderr, "utf8: %ld of %ld texts are bad, which tests little\n", bad, count), 1;
    return wrong;
}
#endif

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 100000, wrong = 0;
    (void)count;
#if defined(AB_UTF8_WIDE)
    wrong = differences(NULL, count);
    if (__builtin_cpu_supports("ssse3"))
        wrong += differences(ab_utf8_by16, count);
    if (__builtin_cpu_supports("avx2"))
        wrong += differences(ab_utf8_by32, count);
#endif
    printf("utf8: %ld differences\n", wrong);
    return wrong != 0;
}
