/* decode_value: one opcode switch, in line where rows and arrays are decoded, for what they mostly hold. */

#ifndef PGSANSIO_DECODE_H
#define PGSANSIO_DECODE_H

#include "kernel.h"
#include "make.h"

/* The value of these bytes, by this opcode, which is the codec's. NULL without an exception: declined. */
static inline Py_ALWAYS_INLINE PyObject *
decode_value_as(State *state, const Codec *codec, Opcode opcode, Reader reader)
{
    Py_ssize_t size = reader_left(&reader);
    switch (opcode) {
    case OP_BOOL: {
        uint8_t value;
        return size == 1 && read_uint8(&reader, &value) ? Py_NewRef(value != 0 ? Py_True : Py_False) : NULL;
    }
    case OP_CHAR:
        return size == 1 ? read_bytes(reader) : NULL;
    case OP_INT2: {
        int16_t value;
        return size == 2 && read_int16(&reader, &value) ? make_int(state, value) : NULL;
    }
    case OP_INT4: {
        int32_t value;
        return size == 4 && read_int32(&reader, &value) ? make_int(state, value) : NULL;
    }
    case OP_INT8: {
        int64_t value;
        return size == 8 && read_int64(&reader, &value) ? make_int(state, value) : NULL;
    }
    case OP_UINT4: {
        uint32_t value;
        return size == 4 && read_uint32(&reader, &value) ? make_int(state, value) : NULL;
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

static inline PyObject *
decode_value(State *state, const Codec *codec, Reader reader)
{
    return decode_value_as(state, codec, codec->decode_opcode, reader);
}

#endif
