/* Where operations and sessions keep what this kernel has to know of them; `pgsansio/kernel/pure/state.py` says what
   that is. Python may set or delete each member at any time: it may be NULL or of any class. */

#ifndef PGSANSIO_STATE_H
#define PGSANSIO_STATE_H

#include "kernel.h"

/* As in contract.py. */
enum {
    TRAIT_SYNC = 4,
    TRAIT_DISCARDS_ROWS = 8,
    SHORT_LENGTH = 2000,
};

typedef struct {
    PyObject_HEAD
    PyObject *data;
    PyObject *steps;
    PyObject *row_plan;
    PyObject *rows;
    PyObject *tag;
    PyObject *error;
    PyObject *outcome;
    PyObject *suspended;
    PyObject *abandoned;
    PyObject *written;
    PyObject *attention;
    PyObject *waiter;
    Py_ssize_t size_bytes;
    Py_ssize_t step;
    Py_ssize_t traits;
    Py_ssize_t completed;
} Operation;

typedef struct {
    PyObject_HEAD
    PyObject *row;
    PyObject *idle_row;
    PyObject *sent;
    PyObject *transaction_status;
    PyObject *woken;
    Py_ssize_t sent_bytes;
    Py_ssize_t active;
    Py_ssize_t abandoned;
} Session;

#endif
