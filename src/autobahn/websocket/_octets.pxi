# What is done to many octets at once, in C: included by _frames.pyx.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #include "_utf8.h"
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

    #if defined(__GNUC__) && defined(__x86_64__)
    #include <immintrin.h>
    #define AB_WIDE 1

    /* As ab_xor, as far as 128 octets at a time go: how many that are. */
    __attribute__((target("avx2"))) static size_t ab_xor_wide(unsigned char *dst, const unsigned char *src, size_t size,
                                                              uint32_t word)
    {
        __m256i key = _mm256_set1_epi32((int)word);
        size_t at = 0;
        for (; at + 128 <= size; at += 128) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(src + at));
            __m256i b = _mm256_loadu_si256((const __m256i *)(src + at + 32));
            __m256i c = _mm256_loadu_si256((const __m256i *)(src + at + 64));
            __m256i d = _mm256_loadu_si256((const __m256i *)(src + at + 96));
            _mm256_storeu_si256((__m256i *)(dst + at), _mm256_xor_si256(a, key));
            _mm256_storeu_si256((__m256i *)(dst + at + 32), _mm256_xor_si256(b, key));
            _mm256_storeu_si256((__m256i *)(dst + at + 64), _mm256_xor_si256(c, key));
            _mm256_storeu_si256((__m256i *)(dst + at + 96), _mm256_xor_si256(d, key));
        }
        return at;
    }
    #endif

    /* dst = src XOR the repeated key (RFC 6455 5.3). Both may be the same octets, but not overlap otherwise. */
    static void ab_xor(unsigned char *dst, const unsigned char *src, size_t size, const unsigned char *key)
    {
        uint64_t word, a, b;
        uint32_t half;
        size_t at = 0;
        memcpy(&half, key, 4);
    #if defined(AB_WIDE)
        if (size >= 128 && __builtin_cpu_supports("avx2"))
            at = ab_xor_wide(dst, src, size, half);
    #endif
        memcpy(&word, &half, 4);
        memcpy((unsigned char *)&word + 4, &half, 4);
        for (; at + 16 <= size; at += 16) {
            memcpy(&a, src + at, 8);
            memcpy(&b, src + at + 8, 8);
            a ^= word;
            b ^= word;
            memcpy(dst + at, &a, 8);
            memcpy(dst + at + 8, &b, 8);
        }
        if (size - at >= 8) {
            memcpy(&a, src + at, 8);
            a ^= word;
            memcpy(dst + at, &a, 8);
            at += 8;
        }
        for (; at < size; at++)
            dst[at] = src[at] ^ key[at & 3];
    }
    """
    ctypedef struct ab_utf8:
        octet need
        octet low
        octet high

    void ab_xor(octet *, const octet *, size_t, const octet *) noexcept
    void ab_trim() noexcept nogil
    size_t ab_check_utf8(ab_utf8 *, const octet *, size_t) noexcept
