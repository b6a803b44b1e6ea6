"""Dates of certificates, a column at a time: UTCTime and GeneralizedTime as RFC 5280 4.1.2.5 writes them. Pure."""

from __future__ import annotations

import numpy as np

from renewagent.bulk.octets import Bools, Ints, Octets

EARLIEST, LATEST = 1950, 9998
"""Years that are taken here; others are left to `cryptography`."""

_UTC, _GENERALIZED = 0x170D, 0x180F  # tag and length
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0], np.int64)
_DAYS_BEFORE = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 0, 0, 0], np.int64)


def read_times(octets: Octets, at: Ints) -> tuple[Ints, Ints, Bools]:
    """Seconds since 1970 of the time that begins at each place, where it ends, and whether it is fine."""
    word = octets.word(at)
    kind = word >> 16
    general = kind == _GENERALIZED
    century = ((word >> 8) & 0xFF) * 10 + (word & 0xFF) - 528  # two ASCII digits
    digits_from = at + np.where(general, 4, 2)
    text = octets.window(digits_from, 13)
    digits = text[:, :12] - np.uint8(48)  # what is below "0" wraps round to above 9
    fine = (text[:, 12] == 0x5A) & (digits.max(axis=1) <= 9) & (general | (kind == _UTC))
    pairs = digits[:, 0::2].astype(np.int64) * 10 + digits[:, 1::2]
    year, month, day, hour, minute, second = (pairs[:, place] for place in range(6))
    if general.any():
        tens, ones = ((word >> 8) & 0xFF) - 48, (word & 0xFF) - 48
        fine &= ~general | ((tens >= 0) & (tens <= 9) & (ones >= 0) & (ones <= 9))
        full = np.where(general, century * 100 + year, year + np.where(year < 50, 2000, 1900))
    else:
        full = year + np.where(year < 50, 2000, 1900)
    fine &= (full >= EARLIEST) & (full <= LATEST)
    seconds, exists = _since_1970(np.where(fine, full, 2000), month, day)
    fine &= exists & (hour < 24) & (minute < 60) & (second < 60)
    return seconds + hour * 3600 + minute * 60 + second, digits_from + 13, fine


def _since_1970(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Bools]:
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    month_place = np.minimum(month, 13)
    exists = (day >= 1) & (day <= _DAYS[month_place] + (leap & (month == 2)))
    past = year - 1
    days = 365 * past + past // 4 - past // 100 + past // 400 + _DAYS_BEFORE[month_place] + (leap & (month > 2)) + day
    return (days - 719_163) * 86_400, exists  # 719,163: the proleptic Gregorian day number of 1970-01-01
