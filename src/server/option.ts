import { parse as parseYaml } from "yaml";
import { z } from "zod";

/** Where a value was written: on the command line or in the environment everything is text. */
export type Source = "text" | "yaml";

/** One setting, with its flag, its variable, its key in `berth.yaml` and its page in the reference. */
export interface Option<T> {
  /** Key in `berth.yaml`; a dot is a level. */
  key: string;
  /** Flag, where it is not the key with dashes for dots. */
  flag?: string;
  default: T;
  /** What stands for the value in the help. */
  placeholder: string;
  doc: string;
  /** @throws Error that says what is expected */
  parse(value: unknown, source: Source): T;
}

export function flagOf({ key, flag }: Option<unknown>): string {
  return `--${flag ?? key.replaceAll(".", "-")}`;
}

export function variableOf({ key, flag }: Option<unknown>): string {
  return `BERTH_${(flag ?? key).toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`;
}

type Described<T> = Omit<Option<T>, "parse" | "placeholder">;

export function text<T extends string | undefined = string>(option: Described<T>): Option<T> {
  return {
    ...option,
    placeholder: "TEXT",
    parse(value) {
      if (typeof value !== "string" || value === "") throw new Error("expected a text");
      return value as T;
    },
  };
}

/** A text that `check` throws at unless it has its form. */
export function checkedText<T extends string | undefined = string>(
  check: (value: string) => unknown,
  option: Described<T>,
): Option<T> {
  const plain = text<T>(option);
  return {
    ...plain,
    parse(value, source) {
      const parsed = plain.parse(value, source);
      check(parsed as string);
      return parsed;
    },
  };
}

export function choice<T extends string>(values: readonly T[], option: Described<T>): Option<T> {
  return {
    ...option,
    placeholder: values.join("|"),
    parse(value) {
      if (!values.includes(value as T)) throw new Error(`expected one of ${values.join(", ")}`);
      return value as T;
    },
  };
}

export function truth(option: Described<boolean>): Option<boolean> {
  return {
    ...option,
    placeholder: "",
    parse(value, source) {
      if (typeof value === "boolean") return value;
      if (source === "text" && (value === "true" || value === "false")) return value === "true";
      throw new Error("expected true or false");
    },
  };
}

export function integer(min: number, max: number, option: Described<number>): Option<number> {
  return {
    ...option,
    placeholder: "NUMBER",
    parse(value, source) {
      const number = source === "text" && typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
      if (typeof number !== "number" || !Number.isInteger(number) || number < min || number > max) {
        throw new Error(`expected a whole number from ${min} to ${max}`);
      }
      return number;
    },
  };
}

const units: Record<string, number> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

export function byteCount(min: number, max: number, option: Described<number>): Option<number> {
  return {
    ...option,
    placeholder: "SIZE",
    parse(value) {
      const written = typeof value === "string" || typeof value === "number" ? String(value) : "";
      const match = /^(\d{1,15}) ?(|KiB|MiB|GiB|TiB)$/.exec(written);
      const bytes = match === null ? Number.NaN : Number(match[1]) * (units[match[2] as string] as number);
      if (!(bytes >= min && bytes <= max)) {
        throw new Error(`expected a number of bytes from ${min} to ${max}, such as 64MiB`);
      }
      return bytes;
    },
  };
}

/** Values of one form: in the file a list or one text, elsewhere a text with commas between them. */
export function list<T>(item: z.ZodType<T>, placeholder: string, option: Described<T[]>): Option<T[]> {
  return {
    ...option,
    placeholder,
    parse(value) {
      const items = typeof value === "string" ? value.split(",").map((each) => each.trim()) : value;
      return checked(z.array(item), items);
    },
  };
}

/** A value with a form of its own; as a flag or variable it is written as YAML, such as `[a, b]`. */
export function structure<T>(shape: z.ZodType<T>, placeholder: string, option: Described<T>): Option<T> {
  return {
    ...option,
    placeholder,
    parse(value, source) {
      return checked(shape, source === "text" ? parseYaml(String(value)) : value);
    },
  };
}

function checked<T>(shape: z.ZodType<T>, value: unknown): T {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const place = issue?.path.length ? `${issue.path.join(".")}: ` : "";
  throw new Error(`${place}${issue?.message ?? "has another form"}`);
}
