/* CALL and YIELD in CBOR (RFC 8949): included by _formats.h. */

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
    if (!(at = ab_cbor_item(at, end, &kind, &size)) || kind != 3)
        return NULL;
    return ab_text(at, end, size, text);
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
    return ab_rest_is_payload(head, count, at, end);
}

static int ab_cbor_payload(ab_at at, ab_at end, int payloads)
{
    if (payloads > 0 && (at >= end || *at >> 5 != 4 || !(at = ab_cbor_skip(at, end, AB_DEEPEST))))
        return 0;
    if (payloads > 1 && (at >= end || *at >> 5 != 5 || !(at = ab_cbor_skip(at, end, AB_DEEPEST))))
        return 0;
    return at == end;
}
