/* Record: a row, read by position or by column name; see `pgsansio/kernel/pure/record.py`, which says what it does.

   The values stand in the object itself. The collector is told of a record only where it has to be: a row of numbers and
   texts cannot be part of a cycle, and a result has many rows. */

#include "kernel.h"

#include <stddef.h>
#include <structmember.h>

/* Columns */

Columns *
columns_new(State *state, PyObject *names)
{
    PyObject *positions = PyDict_New();
    if (positions == NULL) {
        return NULL;
    }
    for (Py_ssize_t column = 0; column < PyTuple_GET_SIZE(names); column++) {
        PyObject *position = PyLong_FromSsize_t(column);
        if (position == NULL || PyDict_SetItem(positions, PyTuple_GET_ITEM(names, column), position) < 0) {
            Py_XDECREF(position);
            Py_DECREF(positions);
            return NULL;
        }
        Py_DECREF(position);
    }
    Columns *self = PyObject_New(Columns, state->columns_type);
    if (self == NULL) {
        Py_DECREF(positions);
        return NULL;
    }
    self->names = Py_NewRef(names);
    self->positions = positions;
    self->state = state;
    return self;
}

static void
columns_dealloc(Columns *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->names);
    Py_DECREF(self->positions);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot columns_slots[] = {
    {Py_tp_dealloc, columns_dealloc},
    {0, NULL},
};

static PyType_Spec columns_spec = {
    .name = "pgsansio.kernel.Columns",
    .basicsize = sizeof(Columns),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = columns_slots,
};

/* Making and freeing records */

Record *
record_new(State *state, PyTypeObject *record_class, Columns *columns)
{
    Py_ssize_t size = PyTuple_GET_SIZE(columns->names);
    Record *self;
    if (record_class != state->record_type) {
        self = (Record *)record_class->tp_alloc(record_class, size);
        if (self == NULL) {
            return NULL;
        }
        /* Nobody may find it before its values are there. */
        PyObject_GC_UnTrack(self);
    }
#ifndef Py_GIL_DISABLED
    else if (size <= FREE_RECORD_VALUES && state->free_records[size] != NULL) {
        self = state->free_records[size];
        state->free_records[size] = (Record *)self->columns;
        state->free_counts[size]--;
        revive((PyObject *)self);
    }
#endif
    else {
        self = PyObject_GC_NewVar(Record, record_class, size);
        if (self == NULL) {
            return NULL;
        }
    }
    self->columns = (Columns *)Py_NewRef(columns);
    return self;
}

PyObject *
record_of(State *state, PyTypeObject *record_class, Columns *columns, PyObject *values)
{
    Py_ssize_t size = PyTuple_GET_SIZE(columns->names);
    if (PyTuple_GET_SIZE(values) != size) {
        PyErr_Format(PyExc_ValueError, "%zd values for %zd columns", PyTuple_GET_SIZE(values), size);
        return NULL;
    }
    Record *self = record_new(state, record_class, columns);
    if (self == NULL) {
        return NULL;
    }
    for (Py_ssize_t column = 0; column < size; column++) {
        self->values[column] = Py_NewRef(PyTuple_GET_ITEM(values, column));
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
record_traverse(Record *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->columns);
    for (Py_ssize_t column = 0; column < Py_SIZE(self); column++) {
        Py_VISIT(self->values[column]);
    }
    return 0;
}

/* A record cannot be cleared and stay what it is: a cycle through one always goes through something that can. */

static void
record_release(Record *self)
{
    Columns *columns = self->columns;
    Py_ssize_t size = Py_SIZE(self);
    for (Py_ssize_t column = 0; column < size; column++) {
        Py_XDECREF(self->values[column]);
    }
#ifndef Py_GIL_DISABLED
    State *state = columns->state;
    if (Py_TYPE(self) == state->record_type && size <= FREE_RECORD_VALUES
        && state->free_counts[size] < FREE_RECORDS) {
        self->columns = (Columns *)state->free_records[size];
        state->free_records[size] = self;
        state->free_counts[size]++;
        Py_DECREF(columns);
        return;
    }
#endif
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(columns);
    Py_DECREF(type);
}

void
record_abandon(Record *self, Py_ssize_t filled)
{
    for (Py_ssize_t column = filled; column < Py_SIZE(self); column++) {
        self->values[column] = NULL;
    }
    /* Not by its reference count: a subclass may have a __del__, which is not to see what never was a row. */
    record_release(self);
}

static void
record_dealloc(Record *self)
{
    if (!PyObject_GC_IsTracked((PyObject *)self)) {
        /* Only atoms in it, so nothing is nested without end. */
        record_release(self);
        return;
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, record_dealloc)
    record_release(self);
    Py_TRASHCAN_END
}

void
records_free(State *state)
{
#ifndef Py_GIL_DISABLED
    for (int size = 0; size <= FREE_RECORD_VALUES; size++) {
        while (state->free_records[size] != NULL) {
            Record *record = state->free_records[size];
            PyTypeObject *type = Py_TYPE(record);
            state->free_records[size] = (Record *)record->columns;
            PyObject_GC_Del(record);
            Py_DECREF(type);
        }
        state->free_counts[size] = 0;
    }
#endif
}

/* `type(**anything)` */
static PyObject *
record_refuse_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyObject *name = PyObject_GetAttrString((PyObject *)type, "__qualname__");
    if (module != NULL && name != NULL) {
        PyErr_Format(PyExc_TypeError, "cannot create '%S.%S' instances", module, name);
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return NULL;
}

/* Values as a tuple: what slices, comparisons and hashes are those of. */
static PyObject *
record_values(Record *self)
{
    PyObject *values = PyTuple_New(Py_SIZE(self));
    if (values != NULL) {
        for (Py_ssize_t column = 0; column < Py_SIZE(self); column++) {
            PyTuple_SET_ITEM(values, column, Py_NewRef(self->values[column]));
        }
    }
    return values;
}

/* Reading */

static PyObject *
record_item(Record *self, Py_ssize_t index)
{
    if (index < 0 || index >= Py_SIZE(self)) {
        PyErr_SetString(PyExc_IndexError, "record index out of range");
        return NULL;
    }
    return Py_NewRef(self->values[index]);
}

/* The value of a column, borrowed. NULL: there is none, and what is no name may have left an exception. */
static PyObject *
record_find(Record *self, PyObject *name)
{
    PyObject *position = PyDict_GetItemWithError(self->columns->positions, name);
    if (position == NULL) {
        if (PyErr_Occurred() && (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_KeyError))) {
            PyErr_Clear(); /* not hashable */
        }
        return NULL;
    }
    return self->values[PyLong_AsSsize_t(position)];
}

static PyObject *
record_subscript(Record *self, PyObject *key)
{
    if (!PyUnicode_CheckExact(key)) {
        if (PySlice_Check(key)) {
            PyObject *values = record_values(self);
            PyObject *part = values == NULL ? NULL : PyObject_GetItem(values, key);
            Py_XDECREF(values);
            return part;
        }
        if (PyIndex_Check(key)) {
            Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);
            if (index != -1 || !PyErr_Occurred()) {
                return record_item(self, index < 0 ? index + Py_SIZE(self) : index);
            }
            if (PyErr_ExceptionMatches(PyExc_IndexError)) {
                PyErr_SetString(PyExc_IndexError, "record index out of range");
                return NULL;
            }
            if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
                return NULL;
            }
            PyErr_Clear();
        }
    }
    PyObject *value = record_find(self, key);
    if (value == NULL && !PyErr_Occurred()) {
        PyObject *error = PyObject_CallOneArg(PyExc_KeyError, key);
        if (error != NULL) {
            PyErr_SetObject(PyExc_KeyError, error);
            Py_DECREF(error);
        }
    }
    return Py_XNewRef(value);
}

static PyObject *
record_get(Record *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError, "get() takes a name and a default, but %zd arguments were given", count);
        return NULL;
    }
    PyObject *value = record_find(self, args[0]);
    if (value == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        value = count == 2 ? args[1] : Py_None;
    }
    return Py_NewRef(value);
}

static int
record_contains(Record *self, PyObject *key)
{
    int found = PyDict_Contains(self->columns->positions, key);
    if (found < 0 && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return 0;
    }
    return found;
}

static Py_ssize_t
record_length(Record *self)
{
    return Py_SIZE(self);
}

static Py_hash_t
record_hash(Record *self)
{
    PyObject *values = record_values(self);
    Py_hash_t hash = values == NULL ? -1 : PyObject_Hash(values);
    Py_XDECREF(values);
    return hash;
}

static PyObject *
record_compare(Record *self, PyObject *other, int operation)
{
    State *state = self->columns->state;
    PyObject *theirs;
    if (PyTuple_Check(other)) {
        theirs = Py_NewRef(other);
    }
    else if (PyObject_TypeCheck(other, state->record_type)) {
        theirs = record_values((Record *)other);
    }
    else {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *ours = record_values(self);
    PyObject *result = ours == NULL || theirs == NULL ? NULL : PyObject_RichCompare(ours, theirs, operation);
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return result;
}

static PyObject *
record_repr(Record *self)
{
    PyObject *fields = PyObject_CallOneArg(self->columns->state->fields_repr, (PyObject *)self);
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__");
    PyObject *text = NULL;
    if (fields != NULL && name != NULL) {
        text = PyObject_IsTrue(fields) ? PyUnicode_FromFormat("<%S %S>", name, fields) : PyUnicode_FromFormat("<%S>", name);
    }
    Py_XDECREF(fields);
    Py_XDECREF(name);
    return text;
}

/* Iterators */

typedef struct {
    PyObject_HEAD
    /* NULL when it is used up. */
    Record *record;
    Py_ssize_t next;
} RecordIterator;

static PyObject *
record_iter(Record *self)
{
    RecordIterator *iterator = PyObject_GC_New(RecordIterator, self->columns->state->record_iterator_type);
    if (iterator != NULL) {
        iterator->record = (Record *)Py_NewRef(self);
        iterator->next = 0;
        PyObject_GC_Track(iterator);
    }
    return (PyObject *)iterator;
}

static PyObject *
iterator_next(RecordIterator *self)
{
    Record *record = self->record;
    if (record == NULL) {
        return NULL;
    }
    if (self->next < Py_SIZE(record)) {
        return Py_NewRef(record->values[self->next++]);
    }
    Py_CLEAR(self->record);
    return NULL;
}

static PyObject *
iterator_length_hint(RecordIterator *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSsize_t(self->record == NULL ? 0 : Py_SIZE(self->record) - self->next);
}

static int
iterator_traverse(RecordIterator *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->record);
    return 0;
}

static int
iterator_clear(RecordIterator *self)
{
    Py_CLEAR(self->record);
    return 0;
}

static void
iterator_dealloc(RecordIterator *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->record);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", (PyCFunction)iterator_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_methods, iterator_methods},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    .name = "pgsansio.kernel.RecordIterator",
    .basicsize = sizeof(RecordIterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

static PyObject *
record_keys(Record *self, PyObject *Py_UNUSED(ignored))
{
    return PyObject_GetIter(self->columns->names);
}

static PyObject *
record_values_iterator(Record *self, PyObject *Py_UNUSED(ignored))
{
    return record_iter(self);
}

static PyObject *
record_items(Record *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *items = PyTuple_New(Py_SIZE(self));
    if (items == NULL) {
        return NULL;
    }
    for (Py_ssize_t column = 0; column < Py_SIZE(self); column++) {
        PyObject *item = PyTuple_Pack(2, PyTuple_GET_ITEM(self->columns->names, column), self->values[column]);
        if (item == NULL) {
            Py_DECREF(items);
            return NULL;
        }
        PyTuple_SET_ITEM(items, column, item);
    }
    PyObject *iterator = PyObject_GetIter(items);
    Py_DECREF(items);
    return iterator;
}

/* Copies and pickles */

static PyObject *
record_reduce(Record *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *restore = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "_restore");
    PyObject *values = record_values(self);
    /* A subclass without __slots__ has a __dict__, which travels as the state. */
    PyObject *state = PyObject_GetAttrString((PyObject *)self, "__dict__");
    if (state == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        state = Py_NewRef(Py_None);
    }
    PyObject *reduced = NULL;
    if (restore != NULL && values != NULL && state != NULL) {
        bool empty = PyDict_Check(state) && PyDict_GET_SIZE(state) == 0;
        reduced = Py_BuildValue("O(OO)O", restore, self->columns->names, values, empty ? Py_None : state);
    }
    Py_XDECREF(restore);
    Py_XDECREF(values);
    Py_XDECREF(state);
    return reduced;
}

static PyObject *
record_restore(PyObject *type, PyTypeObject *defining_class, PyObject *const *args, Py_ssize_t count,
               PyObject *keywords)
{
    State *state = state_of_type(defining_class);
    if (keywords != NULL || count != 2 || !PyTuple_Check(args[0]) || !PyTuple_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "_restore() takes a tuple of names and a tuple of values");
        return NULL;
    }
    Columns *columns = columns_new(state, args[0]);
    if (columns == NULL) {
        return NULL;
    }
    PyObject *record = record_of(state, (PyTypeObject *)type, columns, args[1]);
    Py_DECREF(columns);
    return record;
}

PyDoc_STRVAR(record_doc, "A row of a result, or a composite value: a sequence of values that also answers to its column names.\n\
\n\
Compares, orders and hashes as the tuple of its values; the names do not count. Iterates over values, while `in`\n\
asks for a column name. Made by the library only; it can be copied and pickled.");

static PyMethodDef record_methods[] = {
    {"get", (PyCFunction)(void (*)(void))record_get, METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe value of a column, or `default` if there is no such column."},
    {"keys", (PyCFunction)record_keys, METH_NOARGS, "keys($self, /)\n--\n\nThe column names in order."},
    {"values", (PyCFunction)record_values_iterator, METH_NOARGS, "values($self, /)\n--\n\nThe values in order."},
    {"items", (PyCFunction)record_items, METH_NOARGS,
     "items($self, /)\n--\n\nPairs of column name and value, in order."},
    {"_restore", (PyCFunction)(void (*)(void))record_restore,
     METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS, "What unpickling and copying call."},
    {"__reduce__", (PyCFunction)record_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot record_slots[] = {
    {Py_tp_doc, (void *)record_doc},
    {Py_tp_new, record_refuse_new},
    {Py_tp_dealloc, record_dealloc},
    {Py_tp_traverse, record_traverse},
    {Py_tp_hash, record_hash},
    {Py_tp_richcompare, record_compare},
    {Py_tp_repr, record_repr},
    {Py_tp_iter, record_iter},
    {Py_tp_methods, record_methods},
    {Py_sq_length, record_length},
    {Py_sq_item, record_item},
    {Py_sq_contains, record_contains},
    {Py_mp_length, record_length},
    {Py_mp_subscript, record_subscript},
    {0, NULL},
};

static PyType_Spec record_spec = {
    .name = "pgsansio.kernel.Record",
    .basicsize = offsetof(Record, values),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = record_slots,
};

bool
record_types_init(PyObject *module, State *state)
{
    state->columns_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &columns_spec, NULL);
    state->record_iterator_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &iterator_spec, NULL);
    state->record_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &record_spec, NULL);
    return state->columns_type != NULL && state->record_iterator_type != NULL && state->record_type != NULL
           && PyModule_AddObjectRef(module, "Record", (PyObject *)state->record_type) == 0;
}
