/* numeric: its groups of four digits are written as the text that Decimal reads; see `pgsansio/codecs/numeric.py`. */

#include "kernel.h"

enum {
    GROUP_DIGITS = 4,
    /* Longer ones are left to the codec. */
    MAX_TEXT = 400,
    NEGATIVE = 0x4000,
};

/* Digits of the value at hand. */
typedef struct {
    char text[MAX_TEXT + 8];
    int size;
} Text;

static void
add_zeros(Text *text, int count)
{
    for (; count > 0; count--) {
        text->text[text->size++] = '0';
    }
}

PyObject *
decode_numeric(State *state, Reader reader)
{
    uint16_t count, sign, scale;
    int16_t weight;
    if (!read_uint16(&reader, &count) || !read_int16(&reader, &weight) || !read_uint16(&reader, &sign)
        || !read_uint16(&reader, &scale) || reader_left(&reader) != 2 * (Py_ssize_t)count) {
        return NULL;
    }
    /* Digits before the point: up to here no number is written longer than MAX_TEXT. */
    int whole = GROUP_DIGITS * (weight + 1);
    if ((sign != 0 && sign != NEGATIVE) || whole > MAX_TEXT / 4 || whole < -MAX_TEXT / 4 || scale > MAX_TEXT / 4
        || count > MAX_TEXT / 4 / GROUP_DIGITS) {
        return NULL;
    }
    Text text;
    text.size = 0;
    if (sign != 0) {
        text.text[text.size++] = '-';
    }
    if (whole <= 0) {
        text.text[text.size++] = '0';
    }
    int point = text.size + (whole > 0 ? whole : 0);
    /* All digits one after another; where the point is to be, a gap is made for it afterwards. */
    add_zeros(&text, -whole);
    for (int index = 0; index < count; index++) {
        uint16_t group;
        if (!read_uint16(&reader, &group) || group > 9999) {
            return NULL;
        }
        text.text[text.size++] = (char)('0' + group / 1000);
        text.text[text.size++] = (char)('0' + group / 100 % 10);
        text.text[text.size++] = (char)('0' + group / 10 % 10);
        text.text[text.size++] = (char)('0' + group % 10);
    }
    int end = point + scale;
    add_zeros(&text, end - text.size);
    while (text.size > end) {
        if (text.text[--text.size] != '0') {
            /* Digits beyond its scale: the codec has the words. */
            return NULL;
        }
    }
    if (scale > 0) {
        memmove(text.text + point + 1, text.text + point, scale);
        text.text[point] = '.';
        text.size++;
    }
    PyObject *spelled = PyUnicode_New(text.size, 127);
    if (spelled == NULL) {
        return NULL;
    }
    memcpy(PyUnicode_1BYTE_DATA(spelled), text.text, (size_t)text.size);
    PyObject *value = PyObject_CallOneArg((PyObject *)state->decimal_type, spelled);
    Py_DECREF(spelled);
    return value;
}
