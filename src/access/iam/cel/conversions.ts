import { type CelFunc, celFunc, CelScalar, celUint } from "@bufbuild/cel";

const { DOUBLE, INT, STRING, UINT } = CelScalar;

/**
 * Conversions of strings to numbers, in place of the library's, which take `""`, `" 1"` and `"0x1"` for integers and
 * whatever is no number for NaN. [CEL, "List of standard definitions", double, int, uint]
 */
export const conversions: CelFunc[] = [
  celFunc("int", [STRING], INT, (text) => {
    if (!/^[+-]?\d{1,40}$/.test(text)) throw new Error("the string is no integer");
    const int = text.startsWith("+") ? BigInt(text.slice(1)) : BigInt(text);
    if (BigInt.asIntN(64, int) !== int) throw new Error("the integer is out of range");
    return int;
  }),
  celFunc("uint", [STRING], UINT, (text) => {
    if (!/^\d{1,40}$/.test(text)) throw new Error("the string is no unsigned integer");
    const uint = BigInt(text);
    if (BigInt.asUintN(64, uint) !== uint) throw new Error("the integer is out of range");
    return celUint(uint);
  }),
  celFunc("double", [STRING], DOUBLE, (text) => {
    if (!/^(?:[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|Infinity)|NaN)$/.test(text)) {
      throw new Error("the string is no number");
    }
    return Number(text);
  }),
];
