/* date, time, timetz, timestamp, timestamptz, interval: of exactly datetime's classes.

   The first and the last year hold what stands for infinity, and what is out of range in another time zone: they are
   left to the codecs, as are time zones of other classes than `datetime.timezone`. */

#include "calendar.h"
#include "kernel.h"

static bool
is_ordinary_year(PyObject *value)
{
    int year = PyDateTime_GET_YEAR(value);
    return year > 1 && year < 9999;
}

static int32_t
days_of_value(PyObject *value)
{
    return days_of(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
}

/* How far east of UTC a zone of exactly the class `timezone` is. */
static Encoded
seconds_east(State *state, PyObject *zone, int *seconds, int *microseconds)
{
    *seconds = *microseconds = 0;
    if (zone == state->datetime->TimeZone_UTC) {
        return WRITTEN;
    }
    if (!Py_IS_TYPE(zone, state->timezone_type)) {
        return DECLINED;
    }
    PyObject *offset = PyObject_CallMethodOneArg(zone, state->utcoffset, Py_None);
    if (offset == NULL) {
        return decline_encoding();
    }
    *seconds = PyDateTime_DELTA_GET_DAYS(offset) * 86400 + PyDateTime_DELTA_GET_SECONDS(offset);
    *microseconds = PyDateTime_DELTA_GET_MICROSECONDS(offset);
    Py_DECREF(offset);
    return WRITTEN;
}

Encoded
encode_date(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->DateType) || !is_ordinary_year(value)) {
        return DECLINED;
    }
    return written(write_int32(writer, days_of_value(value)));
}

static int64_t
since_midnight(int hour, int minute, int second, int microsecond)
{
    return (hour * 3600 + minute * 60 + second) * MICROSECONDS_PER_SECOND + microsecond;
}

static int64_t
time_since_midnight(PyObject *value)
{
    return since_midnight(PyDateTime_TIME_GET_HOUR(value), PyDateTime_TIME_GET_MINUTE(value),
                          PyDateTime_TIME_GET_SECOND(value), PyDateTime_TIME_GET_MICROSECOND(value));
}

Encoded
encode_time(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->TimeType)) {
        return DECLINED;
    }
    return written(write_int64(writer, time_since_midnight(value)));
}

Encoded
encode_timetz(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->TimeType)) {
        return DECLINED;
    }
    int seconds, microseconds;
    Encoded encoded = seconds_east(state, PyDateTime_TIME_GET_TZINFO(value), &seconds, &microseconds);
    if (encoded != WRITTEN || microseconds != 0) {
        return encoded == FAILED ? FAILED : DECLINED;
    }
    return written(write_int64(writer, time_since_midnight(value)) && write_int32(writer, -seconds));
}

/* Microseconds since 2000-01-01, if that moment and the value had the same zone. */
static int64_t
datetime_microseconds(PyObject *value)
{
    return days_of_value(value) * MICROSECONDS_PER_DAY
           + since_midnight(PyDateTime_DATE_GET_HOUR(value), PyDateTime_DATE_GET_MINUTE(value),
                            PyDateTime_DATE_GET_SECOND(value), PyDateTime_DATE_GET_MICROSECOND(value));
}

Encoded
encode_timestamp(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->DateTimeType) || PyDateTime_DATE_GET_TZINFO(value) != Py_None
        || !is_ordinary_year(value)) {
        return DECLINED;
    }
    return written(write_int64(writer, datetime_microseconds(value)));
}

Encoded
encode_timestamptz(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->DateTimeType) || !is_ordinary_year(value)) {
        return DECLINED;
    }
    int seconds, microseconds;
    Encoded encoded = seconds_east(state, PyDateTime_DATE_GET_TZINFO(value), &seconds, &microseconds);
    if (encoded != WRITTEN) {
        return encoded;
    }
    int64_t moment = datetime_microseconds(value) - seconds * MICROSECONDS_PER_SECOND - microseconds;
    return written(write_int64(writer, moment));
}

Encoded
encode_interval(State *state, PyObject *value, Writer *writer)
{
    if (!Py_IS_TYPE(value, state->datetime->DeltaType)) {
        return DECLINED;
    }
    int64_t microseconds = PyDateTime_DELTA_GET_SECONDS(value) * MICROSECONDS_PER_SECOND
                           + PyDateTime_DELTA_GET_MICROSECONDS(value);
    return written(write_int64(writer, microseconds) && write_int32(writer, PyDateTime_DELTA_GET_DAYS(value))
                   && write_int32(writer, 0));
}
