/* Reader: the only way in which this kernel looks at bytes it was given. Each function says whether there were enough. */

#ifndef PGSANSIO_READER_H
#define PGSANSIO_READER_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const unsigned char *at;
    const unsigned char *end;
} Reader;

static inline Py_ssize_t
reader_left(const Reader *reader)
{
    return reader->end - reader->at;
}

/* The bytes from `start` to `end` of a buffer of `size` bytes; both are cut to it. */
static inline Reader
reader_over(const void *buffer, Py_ssize_t size, Py_ssize_t start, Py_ssize_t end)
{
    const unsigned char *first = buffer;
    if (end > size) {
        end = size;
    }
    if (end < 0) {
        end = 0;
    }
    if (start < 0) {
        start = 0;
    }
    if (start > end) {
        start = end;
    }
    return (Reader){first + start, first + end};
}

/* Bytes, the first one counting most. */

static inline uint32_t
load_uint32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t
load_uint64(const unsigned char *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 | (uint64_t)at[3] << 32
           | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 | (uint64_t)at[6] << 8 | at[7];
}

static inline bool
read_uint8(Reader *reader, uint8_t *value)
{
    if (reader_left(reader) < 1) {
        return false;
    }
    *value = *reader->at++;
    return true;
}

static inline bool
read_uint16(Reader *reader, uint16_t *value)
{
    const unsigned char *at = reader->at;
    if (reader_left(reader) < 2) {
        return false;
    }
    *value = (uint16_t)(at[0] << 8 | at[1]);
    reader->at += 2;
    return true;
}

static inline bool
read_uint32(Reader *reader, uint32_t *value)
{
    if (reader_left(reader) < 4) {
        return false;
    }
    *value = load_uint32(reader->at);
    reader->at += 4;
    return true;
}

static inline bool
read_uint64(Reader *reader, uint64_t *value)
{
    if (reader_left(reader) < 8) {
        return false;
    }
    *value = load_uint64(reader->at);
    reader->at += 8;
    return true;
}

static inline bool
read_int16(Reader *reader, int16_t *value)
{
    uint16_t raw;
    if (!read_uint16(reader, &raw)) {
        return false;
    }
    memcpy(value, &raw, sizeof raw);
    return true;
}

static inline bool
read_int32(Reader *reader, int32_t *value)
{
    uint32_t raw;
    if (!read_uint32(reader, &raw)) {
        return false;
    }
    memcpy(value, &raw, sizeof raw);
    return true;
}

static inline bool
read_int64(Reader *reader, int64_t *value)
{
    uint64_t raw;
    if (!read_uint64(reader, &raw)) {
        return false;
    }
    memcpy(value, &raw, sizeof raw);
    return true;
}

static inline bool
read_float64(Reader *reader, double *value)
{
    uint64_t raw;
    if (!read_uint64(reader, &raw)) {
        return false;
    }
    memcpy(value, &raw, sizeof raw);
    return true;
}

/* An int32 and, before it, its length. False: something else is next, and nothing was read. */
static inline bool
read_sized_int32(Reader *reader, int32_t *value)
{
    if (reader_left(reader) < 8) {
        return false;
    }
    uint64_t both = load_uint64(reader->at);
    if (both >> 32 != 4) {
        return false;
    }
    uint32_t raw = (uint32_t)both;
    memcpy(value, &raw, sizeof raw);
    reader->at += 8;
    return true;
}

/* The next `size` bytes as a reader of their own. */
static inline bool
read_part(Reader *reader, Py_ssize_t size, Reader *part)
{
    /* A negative one is larger than all others. */
    if ((size_t)size > (size_t)reader_left(reader)) {
        return false;
    }
    part->at = reader->at;
    part->end = reader->at + size;
    reader->at = part->end;
    return true;
}

/* All that is left, as bytes. */
static inline PyObject *
read_bytes(Reader reader)
{
    return PyBytes_FromStringAndSize((const char *)reader.at, reader_left(&reader));
}

#endif
