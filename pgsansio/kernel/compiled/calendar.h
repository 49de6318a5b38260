/* PostgreSQL's days, counted from 2000-01-01, and Python's calendar, both ways, by integers alone.

   The year begins in March here, so that its odd day is its last one; 400 years have 146,097 days. */

#ifndef PGSANSIO_CALENDAR_H
#define PGSANSIO_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define MICROSECONDS_PER_SECOND INT64_C(1000000)
#define MICROSECONDS_PER_DAY (86400 * MICROSECONDS_PER_SECOND)

enum {
    /* 0001-01-01 and 9999-12-31, the ends of Python's calendar. */
    FIRST_DAY = -730119,
    LAST_DAY = 2921939,
    /* Of 2000-01-01, counted from 0000-03-01. */
    EPOCH_DAY = 730425,
    DAYS_PER_CYCLE = 146097,
};

typedef struct {
    int year;
    int month;
    int day;
} CivilDay;

/* `days` is from FIRST_DAY to LAST_DAY. */
static inline CivilDay
civil_day(int32_t days)
{
    uint32_t since = (uint32_t)(days + EPOCH_DAY);
    uint32_t cycle = since / DAYS_PER_CYCLE;
    uint32_t day_of_cycle = since % DAYS_PER_CYCLE;
    uint32_t year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365;
    uint32_t day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    uint32_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    CivilDay civil;
    civil.day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    civil.month = (int)(month < 10 ? month + 3 : month - 9);
    civil.year = (int)(400 * cycle + year_of_cycle) + (civil.month <= 2);
    return civil;
}

/* Its opposite. */
static inline int32_t
days_of(int year, int month, int day)
{
    uint32_t since_march = (uint32_t)(month > 2 ? month - 3 : month + 9);
    uint32_t march_year = (uint32_t)(year - (month <= 2));
    uint32_t cycle = march_year / 400;
    uint32_t year_of_cycle = march_year % 400;
    uint32_t day_of_year = (153 * since_march + 2) / 5 + (uint32_t)day - 1;
    uint32_t day_of_cycle = 365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    return (int32_t)(cycle * DAYS_PER_CYCLE + day_of_cycle) - EPOCH_DAY;
}

#endif
