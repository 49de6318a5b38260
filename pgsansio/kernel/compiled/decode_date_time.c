/* date, time, timetz, timestamp, timestamptz, interval: by integers, and datetime's own functions in C.

   Infinity, and what is not within Python's years, is left to the codecs. */

#include "calendar.h"
#include "kernel.h"

PyObject *
decode_date(State *state, Reader reader)
{
    int32_t days;
    if (!read_int32(&reader, &days) || reader_left(&reader) != 0 || days < FIRST_DAY || days > LAST_DAY) {
        return NULL;
    }
    CivilDay civil = civil_day(days);
    return state->datetime->Date_FromDate(civil.year, civil.month, civil.day, state->datetime->DateType);
}

static PyObject *
time_of(State *state, int64_t microseconds, PyObject *zone)
{
    int seconds = (int)(microseconds / MICROSECONDS_PER_SECOND);
    return state->datetime->Time_FromTime(seconds / 3600, seconds / 60 % 60, seconds % 60,
                                          (int)(microseconds % MICROSECONDS_PER_SECOND), zone,
                                          state->datetime->TimeType);
}

PyObject *
decode_time(State *state, Reader reader)
{
    int64_t microseconds;
    if (!read_int64(&reader, &microseconds) || reader_left(&reader) != 0 || microseconds < 0
        || microseconds >= MICROSECONDS_PER_DAY) {
        return NULL;
    }
    return time_of(state, microseconds, Py_None);
}

PyObject *
decode_timetz(State *state, Reader reader)
{
    int64_t microseconds;
    int32_t west;
    if (!read_int64(&reader, &microseconds) || !read_int32(&reader, &west) || reader_left(&reader) != 0
        || microseconds < 0 || microseconds >= MICROSECONDS_PER_DAY) {
        return NULL;
    }
    PyObject *zone = PyObject_CallFunction(state->zone_west, "i", (int)west);
    if (zone == NULL) {
        return decline_error();
    }
    PyObject *value = time_of(state, microseconds, zone);
    Py_DECREF(zone);
    return value;
}

PyObject *
decode_timestamp(State *state, Reader reader, PyObject *zone)
{
    int64_t microseconds;
    if (!read_int64(&reader, &microseconds) || reader_left(&reader) != 0) {
        return NULL;
    }
    int64_t days = microseconds / MICROSECONDS_PER_DAY;
    int64_t of_day = microseconds % MICROSECONDS_PER_DAY;
    if (of_day < 0) {
        of_day += MICROSECONDS_PER_DAY;
        days--;
    }
    if (days < FIRST_DAY || days > LAST_DAY) {
        return NULL;
    }
    CivilDay civil = civil_day((int32_t)days);
    int seconds = (int)(of_day / MICROSECONDS_PER_SECOND);
    return state->datetime->DateTime_FromDateAndTime(
        civil.year, civil.month, civil.day, seconds / 3600, seconds / 60 % 60, seconds % 60,
        (int)(of_day % MICROSECONDS_PER_SECOND), zone, state->datetime->DateTimeType);
}

PyObject *
decode_interval(State *state, Reader reader)
{
    int64_t microseconds;
    int32_t days, months;
    if (!read_int64(&reader, &microseconds) || !read_int32(&reader, &days) || !read_int32(&reader, &months)
        || reader_left(&reader) != 0) {
        return NULL;
    }
    int64_t seconds = microseconds / MICROSECONDS_PER_SECOND;
    /* A month counts as 30 days, and each twelve of them as 365. */
    int64_t all_days = days + months / 12 * INT64_C(365) + months % 12 * 30 + seconds / 86400;
    /* A day more or less is for the sign of the rest. */
    if (all_days < -999999998 || all_days > 999999998) {
        return NULL;
    }
    return state->datetime->Delta_FromDelta((int)all_days, (int)(seconds % 86400),
                                            (int)(microseconds % MICROSECONDS_PER_SECOND), 1,
                                            state->datetime->DeltaType);
}
