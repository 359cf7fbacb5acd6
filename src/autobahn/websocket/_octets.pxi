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
    """
    ctypedef struct ab_utf8:
        octet need
        octet low
        octet high

    void ab_xor(octet *, const octet *, size_t, const octet *) noexcept
    void ab_trim() noexcept nogil
    size_t ab_check_utf8(ab_utf8 *, const octet *, size_t) noexcept
