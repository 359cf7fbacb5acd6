/* CALL and YIELD in MessagePack: included by _formats.h. */

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
    return ab_text(at, end, size, text);
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
    unsigned count;
    if (end - at < 4 || (*at & 0xF0) != 0x90)
        return 0;
    count = *at++ & 15;
    head->code = *at++;
    if (!(at = ab_mp_id(at, end, &head->request)) || at >= end || *at++ != 0x80)
        return 0;
    if (head->code == 48 && !(at = ab_mp_text(at, end, &head->uri)))
        return 0;
    return ab_rest_is_payload(head, count, at, end);
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
