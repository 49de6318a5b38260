/* UUID: a `uuid.UUID` that keeps the 16 bytes it came as; see `pgsansio/kernel/pure/uuid.py`.

   uuid.UUID is a class of Python's with slots for its integer and two more; they stay empty. The bytes stand behind
   them, and what uuid.UUID computes from its integer it asks the property below for. */

#include "kernel.h"

#include <structmember.h>

enum { UUID_BYTES = 16 };

const unsigned char *
uuid_bytes(State *state, PyObject *uuid)
{
    return (const unsigned char *)uuid + state->uuid_bytes;
}

PyObject *
uuid_new(State *state, const unsigned char *bytes)
{
    PyObject *self;
#ifndef Py_GIL_DISABLED
    if (state->free_uuids != NULL) {
        self = state->free_uuids;
        state->free_uuids = slot_get(self, state->uuid_bytes);
        state->free_uuid_count--;
        revive(self);
    }
    else
#endif
    {
        self = PyObject_GC_New(PyObject, state->uuid_type);
        if (self == NULL) {
            return NULL;
        }
        /* Its slots are empty, so the collector need not know of it. */
        memset((char *)self + sizeof(PyObject), 0, (size_t)state->uuid_bytes - sizeof(PyObject));
    }
    memcpy((char *)self + state->uuid_bytes, bytes, UUID_BYTES);
    return self;
}

static void uuid_dealloc(PyObject *self);

/* The class UUID, also for an object of a subclass. It is found by what it does: when the collector frees the module
   with all that is its own, neither the state nor the class knows the other one any more. */
static PyTypeObject *
class_of(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    while (type->tp_dealloc != uuid_dealloc) {
        type = type->tp_base;
    }
    return type;
}

static unsigned char *
bytes_in(PyObject *self)
{
    return (unsigned char *)self + class_of(self)->tp_basicsize - UUID_BYTES;
}

/* NULL: the module is being freed. */
static State *
state_of_uuid(PyObject *self)
{
    PyObject *module = ((PyHeapTypeObject *)class_of(self))->ht_module;
    return module == NULL ? NULL : PyModule_GetState(module);
}

static void
clear_slot(PyObject *self, Slot slot)
{
    PyObject *value = slot_get(self, slot);
    slot_set(self, slot, NULL);
    Py_XDECREF(value);
}

static void
uuid_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    State *state = state_of_uuid(self);
    PyObject_GC_UnTrack(self);
    if (slot_get(self, type->tp_weaklistoffset) != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (state != NULL) {
        clear_slot(self, state->stdlib_uuid_int);
        clear_slot(self, state->stdlib_uuid_is_safe);
    }
#ifndef Py_GIL_DISABLED
    if (state != NULL && type == state->uuid_type && state->free_uuid_count < FREE_UUIDS) {
        slot_set(self, state->uuid_bytes, state->free_uuids);
        state->free_uuids = self;
        state->free_uuid_count++;
        return;
    }
#endif
    type->tp_free(self);
    Py_DECREF(type);
}

void
uuids_free(State *state)
{
#ifndef Py_GIL_DISABLED
    while (state->free_uuids != NULL) {
        PyObject *self = state->free_uuids;
        PyTypeObject *type = Py_TYPE(self);
        state->free_uuids = slot_get(self, state->uuid_bytes);
        PyObject_GC_Del(self);
        Py_DECREF(type);
    }
    state->free_uuid_count = 0;
#endif
}

static int
uuid_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *value = PyObject_Call((PyObject *)class_of(self)->tp_base, args, kwargs);
    PyObject *bytes = value == NULL ? NULL : PyObject_GetAttrString(value, "bytes");
    Py_XDECREF(value);
    if (bytes == NULL) {
        return -1;
    }
    if (!PyBytes_Check(bytes) || PyBytes_GET_SIZE(bytes) != UUID_BYTES) {
        PyErr_SetString(PyExc_TypeError, "the bytes of a UUID are not 16 bytes");
        Py_DECREF(bytes);
        return -1;
    }
    memcpy(bytes_in(self), PyBytes_AS_STRING(bytes), UUID_BYTES);
    Py_DECREF(bytes);
    return 0;
}

static PyObject *
uuid_int(PyObject *self, void *Py_UNUSED(closure))
{
    return int_of_16_bytes(bytes_in(self));
}

static PyObject *
uuid_get_bytes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize((const char *)bytes_in(self), UUID_BYTES);
}

static PyObject *
uuid_is_safe(PyObject *self, void *Py_UNUSED(closure))
{
    State *state = state_of_uuid(self);
    if (state == NULL || state->safe_unknown == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the kernel is being freed");
        return NULL;
    }
    return Py_NewRef(state->safe_unknown);
}

/* The hexadecimal digits, with a hyphen in front of those bytes whose bit is set in `hyphens`. */
static PyObject *
spell(PyObject *self, unsigned hyphens)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = bytes_in(self);
    char text[2 * UUID_BYTES + 4];
    Py_ssize_t size = 0;
    for (int index = 0; index < UUID_BYTES; index++) {
        if (hyphens >> index & 1) {
            text[size++] = '-';
        }
        text[size++] = digits[bytes[index] >> 4];
        text[size++] = digits[bytes[index] & 15];
    }
    return PyUnicode_FromStringAndSize(text, size);
}

static PyObject *
uuid_hex(PyObject *self, void *Py_UNUSED(closure))
{
    return spell(self, 0);
}

static PyObject *
uuid_str(PyObject *self)
{
    return spell(self, 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10);
}

static Py_hash_t
uuid_hash(PyObject *self)
{
    PyObject *number = uuid_int(self, NULL);
    Py_hash_t hash = number == NULL ? -1 : PyObject_Hash(number);
    Py_XDECREF(number);
    return hash;
}

static PyObject *
uuid_compare(PyObject *self, PyObject *other, int operation)
{
    PyTypeObject *uuid_class = class_of(self);
    if (Py_TYPE(self) == uuid_class && Py_TYPE(other) == uuid_class) {
        int order = memcmp(bytes_in(self), bytes_in(other), UUID_BYTES);
        Py_RETURN_RICHCOMPARE(order, 0, operation);
    }
    if (!PyObject_TypeCheck(other, uuid_class->tp_base)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *ours = PyObject_GetAttrString(self, "int");
    PyObject *theirs = PyObject_GetAttrString(other, "int");
    PyObject *result = ours == NULL || theirs == NULL ? NULL : PyObject_RichCompare(ours, theirs, operation);
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return result;
}

static PyObject *
uuid_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("O(N)", class_of(self)->tp_base, uuid_hex(self, NULL));
}

PyDoc_STRVAR(uuid_doc, "A `uuid.UUID` that is cheap to make from 16 bytes; its integer is computed when it is asked for.\n\
\n\
Equal to, ordered with and hashed as any `uuid.UUID` of the same value. Copies and pickles of it are `uuid.UUID`.");

static PyGetSetDef uuid_attributes[] = {
    {"int", uuid_int, NULL, NULL, NULL},
    {"bytes", uuid_get_bytes, NULL, NULL, NULL},
    {"hex", uuid_hex, NULL, NULL, NULL},
    {"is_safe", uuid_is_safe, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef uuid_methods[] = {
    {"__reduce__", (PyCFunction)uuid_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot uuid_slots[] = {
    {Py_tp_doc, (void *)uuid_doc},
    {Py_tp_init, uuid_init},
    {Py_tp_dealloc, uuid_dealloc},
    {Py_tp_str, uuid_str},
    {Py_tp_hash, uuid_hash},
    {Py_tp_richcompare, uuid_compare},
    {Py_tp_getset, uuid_attributes},
    {Py_tp_methods, uuid_methods},
    {0, NULL},
};

bool
uuid_type_init(PyObject *module, State *state)
{
    PyTypeObject *base = state->stdlib_uuid_type;
    /* uuid_dealloc knows its slots. */
    if (base->tp_itemsize != 0 || Py_SIZE(base) != 2 || base->tp_weaklistoffset == 0 || !(base->tp_flags & Py_TPFLAGS_HAVE_GC)) {
        PyErr_SetString(PyExc_ImportError, "uuid.UUID is not made as it was");
        return false;
    }
    static_assert(UUID_BYTES >= sizeof(PyObject *), "a free UUID has a pointer in place of its bytes");
    state->uuid_bytes = base->tp_basicsize;
    PyType_Spec spec = {
        .name = "pgsansio.kernel.UUID",
        .basicsize = (int)(base->tp_basicsize + UUID_BYTES),
        /* With the functions for the collector it inherits the flag that it has some. */
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
        .slots = uuid_slots,
    };
    /* What shows it to the collector is uuid.UUID's: there is nothing that that would not know. */
    state->uuid_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, (PyObject *)base);
    return state->uuid_type != NULL && PyModule_AddObjectRef(module, "UUID", (PyObject *)state->uuid_type) == 0;
}
