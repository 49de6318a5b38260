/* Writer: one growing buffer. Short results never touch the heap before they are done. Each function says whether there
   was memory; if not, an exception is set. */

#ifndef PGSANSIO_WRITER_H
#define PGSANSIO_WRITER_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    unsigned char *data;
    Py_ssize_t used;
    Py_ssize_t capacity;
    /* Where `data` is; NULL while it is `local`. */
    PyObject *bytes;
    unsigned char local[1024];
} Writer;

static inline void
writer_start(Writer *writer)
{
    writer->data = writer->local;
    writer->used = 0;
    writer->capacity = sizeof writer->local;
    writer->bytes = NULL;
}

/* Make room for `size` more bytes. */
bool writer_grow(Writer *writer, Py_ssize_t size);

/* The result; the writer is empty afterwards. */
PyObject *writer_finish(Writer *writer);

static inline void
writer_discard(Writer *writer)
{
    Py_CLEAR(writer->bytes);
}

/* Forget what was written behind `position`. */
static inline void
writer_rewind(Writer *writer, Py_ssize_t position)
{
    assert(position <= writer->used);
    writer->used = position;
}

/* Where the next `size` bytes go; they count as written. NULL: no memory. */
static inline unsigned char *
writer_take(Writer *writer, Py_ssize_t size)
{
    if (size > writer->capacity - writer->used && !writer_grow(writer, size)) {
        return NULL;
    }
    unsigned char *at = writer->data + writer->used;
    writer->used += size;
    return at;
}

static inline void
store_uint32(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

static inline bool
write_uint8(Writer *writer, uint8_t value)
{
    unsigned char *at = writer_take(writer, 1);
    if (at == NULL) {
        return false;
    }
    *at = value;
    return true;
}

static inline bool
write_uint16(Writer *writer, uint16_t value)
{
    unsigned char *at = writer_take(writer, 2);
    if (at == NULL) {
        return false;
    }
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return true;
}

static inline bool
write_uint32(Writer *writer, uint32_t value)
{
    unsigned char *at = writer_take(writer, 4);
    if (at == NULL) {
        return false;
    }
    store_uint32(at, value);
    return true;
}

static inline bool
write_int32(Writer *writer, int32_t value)
{
    return write_uint32(writer, (uint32_t)value);
}

static inline bool
write_uint64(Writer *writer, uint64_t value)
{
    unsigned char *at = writer_take(writer, 8);
    if (at == NULL) {
        return false;
    }
    store_uint32(at, (uint32_t)(value >> 32));
    store_uint32(at + 4, (uint32_t)value);
    return true;
}

static inline bool
write_int64(Writer *writer, int64_t value)
{
    return write_uint64(writer, (uint64_t)value);
}

static inline bool
write_float64(Writer *writer, double value)
{
    uint64_t raw;
    memcpy(&raw, &value, sizeof raw);
    return write_uint64(writer, raw);
}

static inline bool
write_bytes(Writer *writer, const void *data, Py_ssize_t size)
{
    unsigned char *at = writer_take(writer, size);
    if (at == NULL) {
        return false;
    }
    memcpy(at, data, (size_t)size);
    return true;
}

/* Overwrite what was written at `position`. */
static inline void
writer_patch_int32(Writer *writer, Py_ssize_t position, int32_t value)
{
    assert(position + 4 <= writer->used);
    store_uint32(writer->data + position, (uint32_t)value);
}

#endif
