/* numeric: the text of a Decimal or an int in groups of four digits; see `pgsansio/codecs/numeric.py`. */

#include "kernel.h"

enum {
    GROUP_DIGITS = 4,
    /* Longer ones are left to the codec. */
    MAX_DIGITS = 256,
    MAX_GROUPS = MAX_DIGITS / GROUP_DIGITS + 2,
    NEGATIVE = 0x4000,
};

/* Text as it is read. */
typedef struct {
    const char *at;
    const char *end;
} Spelling;

/* The number of digits that come next. */
static Py_ssize_t
digits_ahead(const Spelling *text)
{
    const char *at = text->at;
    while (at < text->end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at - text->at;
}

/* Read `count` digits into groups, of which the first has `in_first` digits; a last one that is not full ends in zeros.
   The number of groups. */
static int
read_groups(Spelling *text, Py_ssize_t count, Py_ssize_t in_first, uint16_t *groups)
{
    int size = 0;
    Py_ssize_t in_group = in_first;
    while (count > 0) {
        uint16_t group = 0;
        for (Py_ssize_t index = 0; index < in_group; index++) {
            group = (uint16_t)(10 * group);
            if (count > 0) {
                group = (uint16_t)(group + (*text->at++ - '0'));
                count--;
            }
        }
        groups[size++] = group;
        in_group = GROUP_DIGITS;
    }
    return size;
}

static Encoded
write_groups(Spelling text, Writer *writer)
{
    uint16_t sign = 0;
    if (text.at < text.end && *text.at == '-') {
        sign = NEGATIVE;
        text.at++;
    }
    Py_ssize_t whole = digits_ahead(&text);
    Spelling behind = {text.at + whole, text.end};
    Py_ssize_t scale = 0;
    if (behind.at < behind.end && *behind.at == '.') {
        behind.at++;
        scale = digits_ahead(&behind);
    }
    if (whole == 0 || behind.at + scale != behind.end || whole + scale > MAX_DIGITS) {
        /* An exponent, infinity, NaN, or very long. */
        return DECLINED;
    }
    uint16_t groups[MAX_GROUPS];
    Py_ssize_t odd = whole % GROUP_DIGITS;
    int count = read_groups(&text, whole, odd != 0 ? odd : GROUP_DIGITS, groups);
    int weight = count - 1;
    count += read_groups(&behind, scale, GROUP_DIGITS, groups + count);
    int first = 0;
    while (first < count && groups[first] == 0) {
        first++;
        weight--;
    }
    while (count > first && groups[count - 1] == 0) {
        count--;
    }
    if (first == count) {
        /* Zero has no sign and no weight. */
        weight = 0;
        sign = 0;
    }
    bool done = write_uint16(writer, (uint16_t)(count - first)) && write_uint16(writer, (uint16_t)weight)
                && write_uint16(writer, sign) && write_uint16(writer, (uint16_t)scale);
    for (int index = first; done && index < count; index++) {
        done = write_uint16(writer, groups[index]);
    }
    return written(done);
}

Encoded
encode_numeric(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->decimal_type) && !PyLong_CheckExact(value)) {
        return DECLINED;
    }
    PyObject *text = PyObject_Str(value);
    if (text == NULL) {
        return decline_encoding();
    }
    Encoded encoded = DECLINED;
    if (PyUnicode_IS_ASCII(text)) {
        const char *data = (const char *)PyUnicode_1BYTE_DATA(text);
        encoded = write_groups((Spelling){data, data + PyUnicode_GET_LENGTH(text)}, writer);
    }
    Py_DECREF(text);
    return encoded;
}
