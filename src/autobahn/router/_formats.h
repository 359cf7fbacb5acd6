/* CALL and YIELD as octets, in three serializers.
 *
 * Everything here recognizes less than the serializers do. What is recognized, they would accept; what is not (odd
 * encodings, extension types, tags, escapes of code points, deep nesting) is left to them.
 */

typedef struct {
    int code;                  /* CALL or YIELD */
    int payloads;              /* 0: none, 1: arguments, 2: keyword arguments, too */
    unsigned long long request;
    ab_span uri;               /* of CALL: ASCII */
    ab_span payload;           /* as it stands in the message; in JSON without the last bracket */
} ab_head;

#define AB_ID_END (1ULL << 53)
#define AB_DEEPEST 32 /* levels of nesting that are looked into */
#define AB_HEAD_SIZE 64 /* what ab_write_head needs at most: 43 octets in JSON */
enum { AB_MSGPACK = 1, AB_JSON = 2, AB_CBOR = 3 };

typedef const unsigned char *ab_at;

static unsigned long long ab_number(ab_at at, int octets)
{
    unsigned long long value = 0;
    while (octets--)
        value = value << 8 | *at++;
    return value;
}

/* All octets are looked at, without a way out in between, so that compilers look at many at once. */
static int ab_is_ascii(ab_at at, unsigned long long size)
{
    uint64_t words[8], all = 0;
    for (; size >= 64; size -= 64, at += 64) {
        memcpy(words, at, 64);
        all |= words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
    }
    while (size--)
        all |= (uint64_t)(*at++ & 0x80);
    return !(all & AB_HIGH_BITS);
}

static int ab_is_text(ab_at at, unsigned long long size)
{
    ab_utf8 state = {0, 0, 0};
    return ab_is_ascii(at, size) || (ab_check_utf8(&state, at, (size_t)size) == size && !state.need);
}

/* Past a text of this size, which is checked unless somebody wants it as it is; NULL: it is none. */
static ab_at ab_text(ab_at at, ab_at end, unsigned long long size, ab_span *text)
{
    if ((unsigned long long)(end - at) < size)
        return NULL;
    if (text) {
        text->data = at;
        text->size = (Py_ssize_t)size;
    } else if (!ab_is_text(at, size)) {
        return NULL;
    }
    return at + size;
}

/* The payload goes from here to the end; `count` elements are in the message. */
static int ab_rest_is_payload(ab_head *head, unsigned long long count, ab_at at, ab_at end)
{
    head->payloads = (int)count - (head->code == 48 ? 4 : 3);
    head->payload.data = at;
    head->payload.size = end - at;
    return 1;
}

/* Writes an id in one octet if it is below `small`, else behind one of four octets from `wide` on, by its size. */
static unsigned char *ab_put_id(unsigned char *to, unsigned long long id, unsigned small, unsigned wide)
{
    int octets = id < small ? 0 : id < 0x100 ? 1 : id < 0x10000 ? 2 : id < 0x100000000ULL ? 4 : 8;
    if (!octets) {
        *to++ = (unsigned char)id;
        return to;
    }
    *to++ = (unsigned char)(wide + (octets == 1 ? 0 : octets == 2 ? 1 : octets == 4 ? 2 : 3));
    while (octets--)
        *to++ = (unsigned char)(id >> 8 * octets);
    return to;
}

#include "_cbor.h"
#include "_json.h"
#include "_msgpack.h"

/* Whether this is a CALL or YIELD without options, up to its payload, which is not looked at. */
static int ab_parse(int format, ab_at data, Py_ssize_t size, ab_head *head)
{
    ab_at end = data + size;
    int found = format == AB_MSGPACK ? ab_mp_parse(data, end, head)
                : format == AB_JSON  ? ab_js_parse(data, end, head)
                                     : ab_cbor_parse(data, end, head);
    return found && (head->code == 48 || head->code == 70) && head->payloads >= 0 && head->payloads <= 2 &&
           head->request && head->request <= AB_ID_END &&
           (head->code == 70 || ab_is_ascii(head->uri.data, (unsigned long long)head->uri.size));
}

/* Whether the payload is what any receiver can decode. */
static int ab_check_payload(int format, const ab_head *head)
{
    ab_at at = head->payload.data, end = at + head->payload.size;
    return format == AB_MSGPACK ? ab_mp_payload(at, end, head->payloads)
           : format == AB_JSON  ? ab_js_payload(at, end, head->payloads)
                                : ab_cbor_payload(at, end, head->payloads);
}

/* Writes the beginning of INVOCATION or RESULT, up to the payload; its size. `second` 0: no second id. */
static Py_ssize_t ab_write_head(int format, unsigned char *start, int code, unsigned long long first,
                                unsigned long long second, int payloads)
{
    unsigned char *to = start;
    int count = (second ? 4 : 3) + payloads;
    if (format == AB_JSON) {
        *to++ = '[';
        to = ab_js_put_id(to, (unsigned)code);
        *to++ = ',';
        to = ab_js_put_id(to, first);
        if (second) {
            *to++ = ',';
            to = ab_js_put_id(to, second);
        }
        memcpy(to, ",{}", 3);
        to += 3;
        if (payloads)
            *to++ = ',';
    } else {
        int is_cbor = format == AB_CBOR;
        unsigned small = is_cbor ? 24 : 0x80, wide = is_cbor ? 24 : 0xCC;
        *to++ = (unsigned char)((is_cbor ? 0x80 : 0x90) | count);
        to = ab_put_id(to, (unsigned)code, small, wide);
        to = ab_put_id(to, first, small, wide);
        if (second)
            to = ab_put_id(to, second, small, wide);
        *to++ = is_cbor ? 0xA0 : 0x80; /* no options */
    }
    return to - start;
}
