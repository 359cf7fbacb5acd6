# CALL and YIELD as octets, in three serializers: included by _lane.pyx.
#
# Everything here recognizes less than the serializers do. What is recognized, they would accept; what is not (odd
# encodings, extension types, tags, escapes like \u0000, deep nesting) is left to them.

cdef enum:
    MSGPACK = 1
    JSON = 2
    CBOR = 3
    CALL = 48
    RESULT = 50
    INVOCATION = 68
    YIELD = 70
    HEAD_SIZE = 64
    DEEPEST = 32

cdef extern from *:
    """
    typedef struct {
        int code;                  /* CALL or YIELD */
        int payloads;              /* 0: none, 1: arguments, 2: keyword arguments, too */
        unsigned long long request;
        ab_span uri;               /* of CALL: ASCII */
        ab_span payload;           /* as it stands in the message; in JSON without the last bracket */
    } ab_head;

    #define AB_ID_END (1ULL << 53)
    #define AB_DEEPEST 32
    enum { AB_MSGPACK = 1, AB_JSON = 2, AB_CBOR = 3 };

    typedef const unsigned char *ab_at;

    static unsigned long long ab_number(ab_at at, int octets)
    {
        unsigned long long value = 0;
        while (octets--)
            value = value << 8 | *at++;
        return value;
    }

    static int ab_is_text(ab_at at, unsigned long long size)
    {
        ab_utf8 state = {0, 0, 0};
        return ab_check_utf8(&state, at, (size_t)size) == size && !state.need;
    }

    static int ab_is_ascii(ab_at at, Py_ssize_t size)
    {
        return ab_skip_ascii(at, 0, (size_t)size) == (size_t)size;
    }

    /* ---- MessagePack ------------------------------------------------------------------------------------ */

    static ab_at ab_mp_skip(ab_at at, ab_at end, int depth);

    /* Past a text; NULL: it is none. */
    static ab_at ab_mp_text(ab_at at, ab_at end, ab_span *text)
    {
        unsigned long long size;
        int octets;
        unsigned first;
        if (at >= end)
            return NULL;
        first = *at++;
        if ((first & 0xE0) == 0xA0) {
            size = first & 31;
        } else if (first >= 0xD9 && first <= 0xDB) {
            octets = 1 << (first - 0xD9);
            if (end - at < octets)
                return NULL;
            size = ab_number(at, octets);
            at += octets;
        } else {
            return NULL;
        }
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

    static ab_at ab_mp_items(ab_at at, ab_at end, unsigned long long count, int is_map, int depth)
    {
        if (!depth)
            return NULL;
        while (at && count--) {
            if (is_map && !(at = ab_mp_text(at, end, NULL)))
                return NULL;
            at = ab_mp_skip(at, end, depth - 1);
        }
        return at;
    }

    /* Past one value; NULL: it is none that is known to be good. */
    static ab_at ab_mp_skip(ab_at at, ab_at end, int depth)
    {
        static const unsigned char sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* from 0xCA */
        unsigned long long size;
        int octets;
        unsigned first;
        if (at >= end)
            return NULL;
        first = *at;
        if (first < 0x80 || first >= 0xE0 || first == 0xC0 || first == 0xC2 || first == 0xC3)
            return at + 1;
        if (first < 0x90)
            return ab_mp_items(at + 1, end, first & 15, 1, depth);
        if (first < 0xA0)
            return ab_mp_items(at + 1, end, first & 15, 0, depth);
        if (first < 0xC0 || (first >= 0xD9 && first <= 0xDB))
            return ab_mp_text(at, end, NULL);
        at++;
        if (first >= 0xCA && first <= 0xD3) {
            octets = sizes[first - 0xCA];
            return end - at < octets ? NULL : at + octets;
        }
        if (first >= 0xC4 && first <= 0xC6)
            octets = 1 << (first - 0xC4);
        else if (first >= 0xDC)
            octets = first & 1 ? 4 : 2;
        else
            return NULL;
        if (end - at < octets)
            return NULL;
        size = ab_number(at, octets);
        at += octets;
        if (first >= 0xDC)
            return ab_mp_items(at, end, size, first >= 0xDE, depth);
        return (unsigned long long)(end - at) < size ? NULL : at + size;
    }

    static ab_at ab_mp_id(ab_at at, ab_at end, unsigned long long *id)
    {
        int octets;
        if (at >= end)
            return NULL;
        if (*at < 0x80) {
            *id = *at;
            return at + 1;
        }
        if (*at < 0xCC || *at > 0xCF)
            return NULL;
        octets = 1 << (*at - 0xCC);
        at++;
        if (end - at < octets)
            return NULL;
        *id = ab_number(at, octets);
        return at + octets;
    }

    static int ab_mp_parse(ab_at at, ab_at end, ab_head *head)
    {
        int count;
        if (end - at < 4 || (*at & 0xF0) != 0x90)
            return 0;
        count = *at++ & 15;
        head->code = *at++;
        if (!(at = ab_mp_id(at, end, &head->request)) || at >= end || *at++ != 0x80)
            return 0;
        if (head->code == 48 && !(at = ab_mp_text(at, end, &head->uri)))
            return 0;
        head->payloads = count - (head->code == 48 ? 4 : 3);
        head->payload.data = at;
        head->payload.size = end - at;
        return 1;
    }

    static int ab_mp_payload(ab_at at, ab_at end, int payloads)
    {
        if (payloads > 0 && (at >= end || !((*at & 0xF0) == 0x90 || *at == 0xDC || *at == 0xDD) ||
                             !(at = ab_mp_skip(at, end, AB_DEEPEST))))
            return 0;
        if (payloads > 1 && (at >= end || !((*at & 0xF0) == 0x80 || *at == 0xDE || *at == 0xDF) ||
                             !(at = ab_mp_skip(at, end, AB_DEEPEST))))
            return 0;
        return at == end;
    }

    static unsigned char *ab_mp_put_id(unsigned char *to, unsigned long long id)
    {
        int octets = id < 0x80 ? 0 : id < 0x100 ? 1 : id < 0x10000 ? 2 : id < 0x100000000ULL ? 4 : 8;
        if (!octets) {
            *to++ = (unsigned char)id;
            return to;
        }
        *to++ = octets == 1 ? 0xCC : octets == 2 ? 0xCD : octets == 4 ? 0xCE : 0xCF;
        while (octets--)
            *to++ = (unsigned char)(id >> 8 * octets);
        return to;
    }

    /* ---- CBOR (RFC 8949) -------------------------------------------------------------------------------- */

    /* Past the head of an item of definite length; NULL: it is none. */
    static ab_at ab_cbor_item(ab_at at, ab_at end, unsigned *kind, unsigned long long *value)
    {
        int octets;
        unsigned info;
        if (at >= end)
            return NULL;
        *kind = *at >> 5;
        info = *at++ & 31;
        *value = info;
        if (info < 24)
            return at;
        if (info > 27)
            return NULL;
        octets = 1 << (info - 24);
        if (end - at < octets)
            return NULL;
        *value = ab_number(at, octets);
        return at + octets;
    }

    static ab_at ab_cbor_text(ab_at at, ab_at end, ab_span *text)
    {
        unsigned kind;
        unsigned long long size;
        if (!(at = ab_cbor_item(at, end, &kind, &size)) || kind != 3 || (unsigned long long)(end - at) < size)
            return NULL;
        if (text) {
            text->data = at;
            text->size = (Py_ssize_t)size;
        } else if (!ab_is_text(at, size)) {
            return NULL;
        }
        return at + size;
    }

    static ab_at ab_cbor_skip(ab_at at, ab_at end, int depth)
    {
        unsigned kind, first;
        unsigned long long value;
        if (at >= end)
            return NULL;
        first = *at;
        if ((first >> 5) == 3)
            return ab_cbor_text(at, end, NULL);
        if (!(at = ab_cbor_item(at, end, &kind, &value)))
            return NULL;
        switch (kind) {
        case 0:
        case 1:
            return at;
        case 2:
            return (unsigned long long)(end - at) < value ? NULL : at + value;
        case 4:
        case 5:
            if (!depth)
                return NULL;
            while (at && value--) {
                if (kind == 5 && !(at = ab_cbor_text(at, end, NULL)))
                    return NULL;
                at = ab_cbor_skip(at, end, depth - 1);
            }
            return at;
        case 7: /* false, true, null, and floats of three lengths */
            return (first >= 0xF4 && first <= 0xF6) || (first >= 0xF9 && first <= 0xFB) ? at : NULL;
        default:
            return NULL;
        }
    }

    static int ab_cbor_parse(ab_at at, ab_at end, ab_head *head)
    {
        unsigned kind;
        unsigned long long count, code;
        if (!(at = ab_cbor_item(at, end, &kind, &count)) || kind != 4 || count > 6)
            return 0;
        if (!(at = ab_cbor_item(at, end, &kind, &code)) || kind || (code != 48 && code != 70))
            return 0;
        head->code = (int)code;
        if (!(at = ab_cbor_item(at, end, &kind, &head->request)) || kind || at >= end || *at++ != 0xA0)
            return 0;
        if (code == 48 && !(at = ab_cbor_text(at, end, &head->uri)))
            return 0;
        head->payloads = (int)count - (code == 48 ? 4 : 3);
        head->payload.data = at;
        head->payload.size = end - at;
        return 1;
    }

    static int ab_cbor_payload(ab_at at, ab_at end, int payloads)
    {
        if (payloads > 0 && (at >= end || *at >> 5 != 4 || !(at = ab_cbor_skip(at, end, AB_DEEPEST))))
            return 0;
        if (payloads > 1 && (at >= end || *at >> 5 != 5 || !(at = ab_cbor_skip(at, end, AB_DEEPEST))))
            return 0;
        return at == end;
    }

    static unsigned char *ab_cbor_put_id(unsigned char *to, unsigned long long id)
    {
        int octets = id < 24 ? 0 : id < 0x100 ? 1 : id < 0x10000 ? 2 : id < 0x100000000ULL ? 4 : 8;
        if (!octets) {
            *to++ = (unsigned char)id;
            return to;
        }
        *to++ = octets == 1 ? 24 : octets == 2 ? 25 : octets == 4 ? 26 : 27;
        while (octets--)
            *to++ = (unsigned char)(id >> 8 * octets);
        return to;
    }

    /* ---- JSON (RFC 8259) -------------------------------------------------------------------------------- */

    #define AB_EVERY(octet) (UINT64_C(0x0101010101010101) * (octet))
    #define AB_ZERO(word) (((word) - AB_EVERY(1)) & ~(word) & AB_HIGH_BITS)

    static ab_at ab_js_space(ab_at at, ab_at end)
    {
        while (at < end && (*at == ' ' || *at == '\\n' || *at == '\\r' || *at == '\\t'))
            at++;
        return at;
    }

    /* Past what stands between quotes, which begins here, and the quote at its end; escapes of code points are left. */
    static ab_at ab_js_text(ab_at at, ab_at end, ab_span *text)
    {
        ab_at begin = at;
        uint64_t word, high = 0;
        for (;;) {
            while (end - at >= 8) {
                memcpy(&word, at, 8);
                if (AB_ZERO(word ^ AB_EVERY('"')) | AB_ZERO(word ^ AB_EVERY('\\\\')) |
                    ((word - AB_EVERY(0x20)) & ~word & AB_HIGH_BITS))
                    break;
                high |= word & AB_HIGH_BITS;
                at += 8;
            }
            while (at < end && *at != '"' && *at != '\\\\' && *at >= 0x20) {
                high |= *at & 0x80;
                at++;
            }
            if (at >= end || *at < 0x20)
                return NULL;
            if (*at == '"')
                break;
            if (*at == '\\\\') {
                if (text || end - at < 2 || !memchr("\\"\\\\/bfnrt", at[1], 8))
                    return NULL;
                at += 2;
            }
        }
        if (high && (text || !ab_is_text(begin, (unsigned long long)(at - begin))))
            return NULL;
        if (text) {
            text->data = begin;
            text->size = at - begin;
        }
        return at + 1;
    }

    static ab_at ab_js_digits(ab_at at, ab_at end, int most)
    {
        ab_at begin = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        return at == begin || at - begin > most ? NULL : at;
    }

    static ab_at ab_js_number(ab_at at, ab_at end)
    {
        ab_at begin;
        if (*at == '-')
            at++;
        begin = at;
        if (!(at = ab_js_digits(at, end, 18)) || (*begin == '0' && at - begin > 1))
            return NULL;
        if (at < end && *at == '.' && !(at = ab_js_digits(at + 1, end, 18)))
            return NULL;
        if (at < end && (*at == 'e' || *at == 'E')) {
            at++;
            if (at < end && (*at == '+' || *at == '-'))
                at++;
            at = ab_js_digits(at, end, 2);
        }
        return at;
    }

    static ab_at ab_js_skip(ab_at at, ab_at end, int depth);

    /* Past the members of an array or object whose bracket was just read. */
    static ab_at ab_js_items(ab_at at, ab_at end, unsigned close, int depth)
    {
        if (!depth)
            return NULL;
        at = ab_js_space(at, end);
        if (at < end && *at == close)
            return at + 1;
        for (;;) {
            if (close == '}') {
                at = ab_js_space(at, end);
                if (at >= end || *at != '"' || !(at = ab_js_text(at + 1, end, NULL)))
                    return NULL;
                at = ab_js_space(at, end);
                if (at >= end || *at++ != ':')
                    return NULL;
            }
            if (!(at = ab_js_skip(ab_js_space(at, end), end, depth - 1)))
                return NULL;
            at = ab_js_space(at, end);
            if (at >= end)
                return NULL;
            if (*at == close)
                return at + 1;
            if (*at++ != ',')
                return NULL;
        }
    }

    static ab_at ab_js_word(ab_at at, ab_at end, const char *word, Py_ssize_t size)
    {
        return end - at >= size && !memcmp(at, word, (size_t)size) ? at + size : NULL;
    }

    static ab_at ab_js_skip(ab_at at, ab_at end, int depth)
    {
        if (at >= end)
            return NULL;
        switch (*at) {
        case '"':
            return ab_js_text(at + 1, end, NULL);
        case '[':
            return ab_js_items(at + 1, end, ']', depth);
        case '{':
            return ab_js_items(at + 1, end, '}', depth);
        case 't':
            return ab_js_word(at, end, "true", 4);
        case 'f':
            return ab_js_word(at, end, "false", 5);
        case 'n':
            return ab_js_word(at, end, "null", 4);
        default:
            return ab_js_number(at, end);
        }
    }

    static ab_at ab_js_comma(ab_at at, ab_at end)
    {
        at = ab_js_space(at, end);
        return at < end && *at == ',' ? ab_js_space(at + 1, end) : NULL;
    }

    static ab_at ab_js_id(ab_at at, ab_at end, unsigned long long *id)
    {
        unsigned long long value = 0;
        ab_at begin = at;
        if (!(at = ab_js_digits(at, end, 16)) || *begin == '0')
            return NULL;
        while (begin < at)
            value = value * 10 + (*begin++ - '0');
        *id = value;
        return at;
    }

    static int ab_js_parse(ab_at at, ab_at end, ab_head *head)
    {
        unsigned long long code;
        if (at >= end || *at != '[' || end[-1] != ']')
            return 0;
        end--;
        if (!(at = ab_js_id(ab_js_space(at + 1, end), end, &code)) || (code != 48 && code != 70))
            return 0;
        head->code = (int)code;
        if (!(at = ab_js_comma(at, end)) || !(at = ab_js_id(at, end, &head->request)))
            return 0;
        if (!(at = ab_js_comma(at, end)) || end - at < 2 || at[0] != '{' || at[1] != '}')
            return 0;
        at += 2;
        if (code == 48 && (!(at = ab_js_comma(at, end)) || at >= end || *at != '"' ||
                           !(at = ab_js_text(at + 1, end, &head->uri))))
            return 0;
        head->payloads = at < end;
        if (at < end && !(at = ab_js_comma(at, end)))
            return 0;
        head->payload.data = at;
        head->payload.size = end - at;
        return 1;
    }

    /* Nothing may stand between the parts of the payload that the serializer would not write there. */
    static int ab_js_payload(ab_at at, ab_at end, int payloads)
    {
        if (!payloads)
            return at == end;
        if (at >= end || *at != '[' || !(at = ab_js_skip(at, end, AB_DEEPEST)))
            return 0;
        if (at == end)
            return 1;
        return end - at > 2 && at[0] == ',' && at[1] == '{' && ab_js_skip(at + 1, end, AB_DEEPEST) == end;
    }

    static unsigned char *ab_js_put_id(unsigned char *to, unsigned long long id)
    {
        unsigned char digits[20];
        int count = 0;
        do {
            digits[count++] = (unsigned char)('0' + id % 10);
            id /= 10;
        } while (id);
        while (count)
            *to++ = digits[--count];
        return to;
    }

    /* ---- all of them ------------------------------------------------------------------------------------ */

    /* Whether this is a CALL or YIELD without options, up to its payload, which is not looked at. */
    static int ab_parse(int format, ab_at data, Py_ssize_t size, ab_head *head)
    {
        ab_at end = data + size;
        int found = format == AB_MSGPACK ? ab_mp_parse(data, end, head)
                    : format == AB_JSON  ? ab_js_parse(data, end, head)
                                         : ab_cbor_parse(data, end, head);
        return found && (head->code == 48 || head->code == 70) && head->payloads >= 0 && head->payloads <= 2 &&
               head->request && head->request <= AB_ID_END &&
               (head->code == 70 || ab_is_ascii(head->uri.data, head->uri.size));
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
        } else if (format == AB_MSGPACK) {
            *to++ = (unsigned char)(0x90 | count);
            *to++ = (unsigned char)code;
            to = ab_mp_put_id(to, first);
            if (second)
                to = ab_mp_put_id(to, second);
            *to++ = 0x80;
        } else {
            *to++ = (unsigned char)(0x80 | count);
            to = ab_cbor_put_id(to, (unsigned)code);
            to = ab_cbor_put_id(to, first);
            if (second)
                to = ab_cbor_put_id(to, second);
            *to++ = 0xA0;
        }
        return to - start;
    }
    """
    ctypedef struct ab_head:
        int code
        int payloads
        u64 request
        ab_span uri
        ab_span payload

    bint ab_parse(int, const octet *, Py_ssize_t, ab_head *) noexcept
    bint ab_check_payload(int, const ab_head *) noexcept
    Py_ssize_t ab_write_head(int, octet *, int, u64, u64, int) noexcept
