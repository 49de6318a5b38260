/* decode_value: one opcode switch, in line where rows and arrays are decoded, for what they mostly hold. */

#ifndef PGSANSIO_DECODE_H
#define PGSANSIO_DECODE_H

#include "kernel.h"

/* The value of these bytes. NULL without an exception: declined. */
static inline PyObject *
decode_value(State *state, const Codec *codec, Reader reader)
{
    Py_ssize_t size = reader_left(&reader);
    switch (codec->decode_opcode) {
    case OP_BOOL: {
        uint8_t value;
        return size == 1 && read_uint8(&reader, &value) ? Py_NewRef(value != 0 ? Py_True : Py_False) : NULL;
    }
    case OP_INT2: {
        int16_t value;
        return size == 2 && read_int16(&reader, &value) ? PyLong_FromLong(value) : NULL;
    }
    case OP_INT4: {
        int32_t value;
        return size == 4 && read_int32(&reader, &value) ? PyLong_FromLong(value) : NULL;
    }
    case OP_INT8: {
        int64_t value;
        return size == 8 && read_int64(&reader, &value) ? PyLong_FromLongLong(value) : NULL;
    }
    case OP_UINT4: {
        uint32_t value;
        /* Of a signed one Python knows sooner that it is small. */
        return size == 4 && read_uint32(&reader, &value) ? PyLong_FromLongLong(value) : NULL;
    }
    case OP_FLOAT8: {
        double value;
        return size == 8 && read_float64(&reader, &value) ? PyFloat_FromDouble(value) : NULL;
    }
    case OP_TEXT:
        return decode_text(reader);
    case OP_BYTEA:
        return read_bytes(reader);
    case OP_CALL:
        return NULL;
    default:
        return decode_other_value(state, codec, reader);
    }
}

#endif
