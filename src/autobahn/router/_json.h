/* CALL and YIELD in JSON (RFC 8259): included by _formats.h. */

#define AB_EVERY(octet) (UINT64_C(0x0101010101010101) * (octet))
#define AB_ZERO(word) (((word) - AB_EVERY(1)) & ~(word) & AB_HIGH_BITS)

static ab_at ab_js_space(ab_at at, ab_at end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
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
            if (AB_ZERO(word ^ AB_EVERY('"')) | AB_ZERO(word ^ AB_EVERY('\\')) |
                ((word - AB_EVERY(0x20)) & ~word & AB_HIGH_BITS))
                break;
            high |= word & AB_HIGH_BITS;
            at += 8;
        }
        while (at < end && *at != '"' && *at != '\\' && *at >= 0x20) {
            high |= *at & 0x80;
            at++;
        }
        if (at >= end || *at < 0x20)
            return NULL;
        if (*at == '"')
            break;
        if (*at == '\\') {
            if (text || end - at < 2 || !memchr("\"\\/bfnrt", at[1], 8))
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
