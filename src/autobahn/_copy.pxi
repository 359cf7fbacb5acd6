# Copying octets: included by _gather.pxi.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__GNUC__) && defined(__x86_64__)
    #include <emmintrin.h>
    #endif

    /* As memcpy. That takes 29 times as long on AMD's processors with glibc 2.36 for 4 KiB and more that go to an
       address 1 to 15 octets behind their own, pages left out ("rep movsb" there; glibc's bug 30994): a payload of a
       few KiB meets that by chance, and then with every message. */
    static void ab_copy(void *to, const void *from, size_t size)
    {
    #if defined(__GNUC__) && defined(__x86_64__)
        if (size >= 2048 && (((uintptr_t)to - (uintptr_t)from) & 4095) < 64) {
            unsigned char *target = to;
            const unsigned char *source = from;
            for (; size >= 64; size -= 64, target += 64, source += 64) {
                __m128i a = _mm_loadu_si128((const __m128i *)source);
                __m128i b = _mm_loadu_si128((const __m128i *)(source + 16));
                __m128i c = _mm_loadu_si128((const __m128i *)(source + 32));
                __m128i d = _mm_loadu_si128((const __m128i *)(source + 48));
                _mm_storeu_si128((__m128i *)target, a);
                _mm_storeu_si128((__m128i *)(target + 16), b);
                _mm_storeu_si128((__m128i *)(target + 32), c);
                _mm_storeu_si128((__m128i *)(target + 48), d);
                __asm__ volatile("" ::: "memory"); /* or the compiler takes it for memcpy */
            }
            memcpy(target, source, size);
            return;
        }
    #endif
        memcpy(to, from, size);
    }
    """
    void ab_copy(void *, const void *, size_t) noexcept

cdef object _bytes_of(const octet *data, Py_ssize_t size):
    """These octets as bytes."""
    cdef object copy = PyBytes_FromStringAndSize(NULL, size)
    ab_copy(PyBytes_AS_STRING(copy), data, size)
    return copy
