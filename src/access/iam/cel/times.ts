import { type CelFunc, celFunc, celMethod, CelScalar, objectType } from "@bufbuild/cel";
import { type Timestamp, timestampFromMs, timestampMs, TimestampSchema } from "@bufbuild/protobuf/wkt";

const { INT, STRING } = CelScalar;
const TIMESTAMP = objectType(TimestampSchema);

/** [CEL, "List of standard definitions", getDate to getSeconds] */
const parts: Record<string, (time: Temporal.ZonedDateTime) => number> = {
  getFullYear: (time) => time.year,
  getMonth: (time) => time.month - 1,
  getDate: (time) => time.day,
  getDayOfMonth: (time) => time.day - 1,
  getDayOfWeek: (time) => time.dayOfWeek % 7,
  getDayOfYear: (time) => time.dayOfYear - 1,
  getHours: (time) => time.hour,
  getMinutes: (time) => time.minute,
  getSeconds: (time) => time.second,
  getMilliseconds: (time) => time.millisecond,
};

/** The functions with a time zone as their only argument. */
export const zonedFunctions: readonly string[] = Object.keys(parts);

/**
 * What CEL has for points in time, in place of the library's: that computes with the time zone of the process, is wrong
 * around its changes to and from summer time, and takes the argument of `timestamp(int)` for milliseconds. And IAM's own
 * `date(string)`. [CEL, "Timestamps"; IAM, "Attribute reference", Date/time attribute]
 */
export const timeFunctions: CelFunc[] = [
  ...Object.entries(parts).flatMap(([name, part]) => [
    celMethod(name, TIMESTAMP, [], INT, function () {
      return BigInt(part(zoned(timestampMs(this.message), "UTC")));
    }),
    celMethod(name, TIMESTAMP, [STRING], INT, function (zone) {
      return BigInt(part(zoned(timestampMs(this.message), zoneOf(zone))));
    }),
  ]),
  celFunc("timestamp", [INT], TIMESTAMP, (seconds) => timestampAt(Number(seconds) * 1000)),
  celFunc("date", [STRING], TIMESTAMP, (text) => {
    if (!/^\d{4}-\d\d-\d\d$/.test(text)) throw new Error("a date is written YYYY-MM-DD");
    return timestampAt(Temporal.PlainDate.from(text).toZonedDateTime("UTC").epochMilliseconds);
  }),
];

/** @throws RangeError outside the years 1 to 9999. [google.protobuf.Timestamp] */
export function timestampAt(ms: number): Timestamp {
  if (!(ms >= -62_135_596_800_000 && ms <= 253_402_300_799_999)) throw new RangeError("the time is out of range");
  return timestampFromMs(ms);
}

function zoned(ms: number, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(zone);
}

/** A zone of the IANA database or an offset, of which the sign may be missing. [CEL, "Timezones"] @throws RangeError */
export function zoneOf(text: string): string {
  const offset = /^([+-]?)(\d\d:\d\d)$/.exec(text);
  const zone = offset === null ? text : `${offset[1] === "-" ? "-" : "+"}${offset[2]}`;
  if (offset === null && !/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(text)) {
    throw new RangeError(`${JSON.stringify(text)} is no time zone`);
  }
  return zoned(0, zone).timeZoneId;
}
