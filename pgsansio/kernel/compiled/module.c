/* The module `pgsansio.kernel._compiled`: its functions, its state, and what it takes from Python. */

#include "kernel.h"

#include <stddef.h>
#include <structmember.h>

static PyModuleDef module_definition;

State *
state_of_type(PyTypeObject *type)
{
    return PyType_GetModuleState(type);
}

State *
state_of_subtype(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &module_definition);
    return module == NULL ? NULL : PyModule_GetState(module);
}

/* What is imported: where it goes, and whether it has to be a class. */
typedef struct {
    const char *module;
    const char *name;
    size_t offset;
    bool is_type;
} Import;

static const Import imports[] = {
    {"datetime", "timezone", offsetof(State, timezone_type), true},
    {"decimal", "Decimal", offsetof(State, decimal_type), true},
    {"uuid", "UUID", offsetof(State, stdlib_uuid_type), true},
    {"pgsansio.types.geometry", "Point", offsetof(State, point_type), true},
    {"pgsansio.types.geometry", "Line", offsetof(State, line_type), true},
    {"pgsansio.types.geometry", "LineSegment", offsetof(State, lseg_type), true},
    {"pgsansio.types.geometry", "Box", offsetof(State, box_type), true},
    {"pgsansio.types.geometry", "Circle", offsetof(State, circle_type), true},
    {"pgsansio.types.range", "Range", offsetof(State, range_type), true},
    {"pgsansio.kernel.pure.rows", "refused_value", offsetof(State, refused_value), false},
    {"pgsansio.kernel.pure.rows", "broken_row", offsetof(State, broken_row), false},
    {"pgsansio.kernel.pure.rows", "broken_tuple", offsetof(State, broken_tuple), false},
    {"pgsansio.kernel.pure.parameters", "refused_argument", offsetof(State, refused_argument), false},
    {"pgsansio.kernel.pure.parameters", "arguments_of", offsetof(State, arguments_of), false},
    {"pgsansio.kernel.pure.parameters", "parameter_head", offsetof(State, parameter_head), false},
    {"pgsansio.kernel.pure.parameters", "too_long", offsetof(State, too_long), false},
    {"pgsansio.kernel.pure.record", "fields_repr", offsetof(State, fields_repr), false},
    {"pgsansio.kernel.pure.inline", "zone_west", offsetof(State, zone_west), false},
    {"pgsansio.kernel.pure.messages", "take_rows", offsetof(State, take_rows), false},
    {"pgsansio.kernel.pure.messages", "portal_suspended", offsetof(State, portal_suspended), false},
    {"pgsansio.kernel.pure.messages", "command_complete", offsetof(State, command_complete), false},
    {"pgsansio.kernel.pure.messages", "batch_complete", offsetof(State, batch_complete), false},
    {"pgsansio.kernel.pure.messages", "statement_complete", offsetof(State, statement_complete), false},
    {"pgsansio.kernel.pure.messages", "ready", offsetof(State, ready), false},
    {"pgsansio.kernel.pure.messages", "passed_over", offsetof(State, passed_over), false},
};

/* The members of the state that are objects, for the collector. */
static const size_t objects[] = {
    offsetof(State, record_type),      offsetof(State, record_iterator_type), offsetof(State, columns_type),
    offsetof(State, uuid_type),        offsetof(State, codec_type),           offsetof(State, row_plan_type),
    offsetof(State, parameter_plan_type), offsetof(State, timezone_type),     offsetof(State, utcoffset),
    offsetof(State, decimal_type),     offsetof(State, point_type),           offsetof(State, line_type),
    offsetof(State, lseg_type),        offsetof(State, box_type),             offsetof(State, circle_type),
    offsetof(State, stdlib_uuid_type), offsetof(State, safe_unknown),         offsetof(State, range_type),
    offsetof(State, binary_format),    offsetof(State, refused_value),        offsetof(State, broken_row),
    offsetof(State, broken_tuple),     offsetof(State, refused_argument),     offsetof(State, arguments_of),
    offsetof(State, parameter_head),   offsetof(State, too_long),             offsetof(State, fields_repr),
    offsetof(State, zone_west),        offsetof(State, bind),                 offsetof(State, many),
    offsetof(State, copy),             offsetof(State, operation_type),       offsetof(State, session_type),
    offsetof(State, pending),          offsetof(State, completed),            offsetof(State, step),
    offsetof(State, buffer_type),      offsetof(State, open),
    offsetof(State, same),             offsetof(State, run),                  offsetof(State, end),
    offsetof(State, after_copy),       offsetof(State, status_idle),          offsetof(State, status_in_block),
    offsetof(State, status_failed),    offsetof(State, take_rows),            offsetof(State, portal_suspended),
    offsetof(State, command_complete), offsetof(State, batch_complete),       offsetof(State, ready),
    offsetof(State, passed_over),      offsetof(State, popleft),              offsetof(State, append),
    offsetof(State, giving_type),      offsetof(State, resource_type),        offsetof(State, rows_type),
    offsetof(State, releases),         offsetof(State, statement_complete),
};

/* Members of enumerations, and where they go. */
static const struct {
    const char *module;
    const char *name;
    const char *member;
    size_t offset;
} enumerated[] = {
    {"uuid", "SafeUUID", "unknown", offsetof(State, safe_unknown)},
    {"pgsansio.enums", "Format", "BINARY", offsetof(State, binary_format)},
    {"pgsansio.enums", "Outcome", "PENDING", offsetof(State, pending)},
    {"pgsansio.enums", "Outcome", "COMPLETED", offsetof(State, completed)},
    {"pgsansio.enums", "TransactionStatus", "IDLE", offsetof(State, status_idle)},
    {"pgsansio.enums", "TransactionStatus", "IN_TRANSACTION", offsetof(State, status_in_block)},
    {"pgsansio.enums", "TransactionStatus", "FAILED", offsetof(State, status_failed)},
    {"pgsansio.kernel.contract", "Condition", "OPEN", offsetof(State, open)},
    {"pgsansio.kernel.contract", "Next", "STEP", offsetof(State, step)},
    {"pgsansio.kernel.contract", "Next", "SAME", offsetof(State, same)},
    {"pgsansio.kernel.contract", "Next", "RUN", offsetof(State, run)},
    {"pgsansio.kernel.contract", "Next", "END", offsetof(State, end)},
    {"pgsansio.kernel.contract", "Next", "AFTER_COPY", offsetof(State, after_copy)},
};

static PyObject **
member_at(State *state, size_t offset)
{
    return (PyObject **)((char *)state + offset);
}

static PyObject *
import_from(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return object;
}

static bool
import_all(State *state)
{
    for (size_t index = 0; index < Py_ARRAY_LENGTH(imports); index++) {
        const Import *import = &imports[index];
        PyObject *object = import_from(import->module, import->name);
        if (object == NULL) {
            return false;
        }
        if (import->is_type && !PyType_Check(object)) {
            PyErr_Format(PyExc_ImportError, "%s.%s is no class", import->module, import->name);
            Py_DECREF(object);
            return false;
        }
        *member_at(state, import->offset) = object;
    }
    return true;
}

/* An attribute of an object that an attribute of a module is. */
static PyObject *
member_of(const char *module_name, const char *name, const char *attribute)
{
    PyObject *object = import_from(module_name, name);
    PyObject *member = object == NULL ? NULL : PyObject_GetAttrString(object, attribute);
    Py_XDECREF(object);
    return member;
}

/* Find where objects of a class keep an attribute of its __slots__. */
static bool
find_slot(PyTypeObject *type, const char *name, Slot *slot)
{
    PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, name);
    if (descriptor == NULL) {
        return false;
    }
    bool found = Py_IS_TYPE(descriptor, &PyMemberDescr_Type);
    if (found) {
        *slot = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    else {
        PyErr_Format(PyExc_ImportError, "%s.%s is no slot", type->tp_name, name);
    }
    Py_DECREF(descriptor);
    return found;
}

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    /* PyDateTime_IMPORT would keep it in static data. */
    state->datetime = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    if (state->datetime == NULL || !import_all(state)) {
        return -1;
    }
    for (size_t index = 0; index < Py_ARRAY_LENGTH(enumerated); index++) {
        PyObject *member = member_of(enumerated[index].module, enumerated[index].name, enumerated[index].member);
        if (member == NULL) {
            return -1;
        }
        *member_at(state, enumerated[index].offset) = member;
    }
    state->utcoffset = PyUnicode_InternFromString("utcoffset");
    state->bind = PyUnicode_InternFromString("bind");
    state->many = PyUnicode_InternFromString("many");
    state->copy = PyUnicode_InternFromString("copy");
    state->popleft = PyUnicode_InternFromString("popleft");
    state->append = PyUnicode_InternFromString("append");
    state->releases = PyUnicode_InternFromString("_releases");
    if (state->utcoffset == NULL || state->bind == NULL || state->many == NULL || state->copy == NULL
        || state->popleft == NULL || state->append == NULL || state->releases == NULL) {
        return -1;
    }
    for (int index = 0; index < SMALL_INTS; index++) {
        state->small_ints[index] = PyLong_FromLong(index - SMALL_INTS_NEGATIVE);
        if (state->small_ints[index] == NULL) {
            return -1;
        }
    }
    if (!find_slot(state->stdlib_uuid_type, "int", &state->stdlib_uuid_int)
        || !find_slot(state->stdlib_uuid_type, "is_safe", &state->stdlib_uuid_is_safe)
        || !find_slot(state->range_type, "_empty", &state->range_empty)
        || !find_slot(state->range_type, "_lower", &state->range_lower)
        || !find_slot(state->range_type, "_upper", &state->range_upper)
        || !find_slot(state->range_type, "_lower_inc", &state->range_lower_inc)
        || !find_slot(state->range_type, "_upper_inc", &state->range_upper_inc)) {
        return -1;
    }
    if (!record_types_init(module, state) || !uuid_type_init(module, state) || !plan_types_init(module, state)
        || !operation_type_init(module, state) || !session_type_init(module, state)
        || !buffer_type_init(module, state) || !giving_types_init(module, state)) {
        return -1;
    }
    if (PyModule_AddStringConstant(module, "NAME", "compiled") < 0
        || PyModule_AddIntConstant(module, "CONTRACT_VERSION", CONTRACT_VERSION) < 0) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    for (size_t index = 0; index < Py_ARRAY_LENGTH(objects); index++) {
        Py_VISIT(*member_at(state, objects[index]));
    }
#ifndef Py_GIL_DISABLED
    for (int size = 0; size <= FREE_RECORD_VALUES; size++) {
        for (int count = state->free_counts[size]; count > 0; count--) {
            Py_VISIT(state->record_type);
        }
    }
    for (int count = state->free_uuid_count; count > 0; count--) {
        Py_VISIT(state->uuid_type);
    }
    if (state->free_giving != NULL) {
        Py_VISIT(state->giving_type);
    }
#endif
    return 0;
}

static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    records_free(state);
    uuids_free(state);
    giving_free(state);
    for (size_t index = 0; index < Py_ARRAY_LENGTH(objects); index++) {
        Py_CLEAR(*member_at(state, objects[index]));
    }
    for (int index = 0; index < SMALL_INTS; index++) {
        Py_CLEAR(state->small_ints[index]);
    }
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyMethodDef functions[] = {
    {"row_plan", (PyCFunction)(void (*)(void))make_row_plan, METH_FASTCALL,
     "row_plan(names, codecs, record_class, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"parameter_plan", make_parameter_plan, METH_O,
     "parameter_plan(codecs, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"decode_rows", (PyCFunction)(void (*)(void))decode_rows, METH_FASTCALL,
     "decode_rows(plan, buffer, start, end, rows, max_rows, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"decode_copy", (PyCFunction)(void (*)(void))decode_copy, METH_FASTCALL,
     "decode_copy(plan, buffer, start, end, rows, max_rows, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"encode_bind", (PyCFunction)(void (*)(void))encode_bind, METH_FASTCALL,
     "encode_bind(plan, names, arguments, result_formats, trailer, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"encode_many", (PyCFunction)(void (*)(void))encode_many, METH_FASTCALL,
     "encode_many(plan, names, elements, result_formats, trailer, max_bytes, index, /)\n--\n\n"
     "See `pgsansio.kernel.contract`."},
    {"encode_copy", (PyCFunction)(void (*)(void))encode_copy, METH_FASTCALL,
     "encode_copy(plan, elements, max_bytes, index, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"join_copy_data", (PyCFunction)(void (*)(void))join_copy_data, METH_FASTCALL,
     "join_copy_data(data, start, end, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {"take_messages", (PyCFunction)(void (*)(void))take_messages, METH_FASTCALL,
     "take_messages(session, data, start, end, /)\n--\n\nSee `pgsansio.kernel.contract`."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    /* Not with a GIL of their own: nobody has tried that. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pgsansio.kernel._compiled",
    .m_doc = "The kernel in C; see `pgsansio.kernel.contract`.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__compiled(void)
{
    return PyModuleDef_Init(&module_definition);
}
