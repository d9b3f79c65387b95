// Whole numbers as text, to the digit as the command line writes them. All counts are BigInt.

const COUNTS = [[10n ** 12n, "T"], [10n ** 9n, "G"], [10n ** 6n, "M"], [10n ** 3n, "k"]];
const BYTES = {
  MiB: [[2n ** 40n, "TiB"], [2n ** 30n, "GiB"], [2n ** 20n, "MiB"], [2n ** 10n, "KiB"]],
  MB: [[10n ** 12n, "TB"], [10n ** 9n, "GB"], [10n ** 6n, "MB"], [10n ** 3n, "kB"]],
};

/** 138357544n → "138,357,544" */
export function exact(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** The nearest whole number to value · by / factor; halves go to the even one, as Python rounds. */
export function divided(value, by, factor) {
  const scaled = value * by;
  const quotient = scaled / factor;
  const twice = 2n * (scaled % factor);
  return twice > factor || (twice === factor && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

function prefixed(value, units, step) {
  for (const [factor, prefix] of units) {
    if (divided(value, 100n * step, factor) < 100n * step) continue; // the smaller unit has room for it
    const hundredths = divided(value, 100n, factor);
    const cents = String(hundredths % 100n).padStart(2, "0");
    return `${hundredths / 100n}.${cents} ${prefix}`;
  }
  return "";
}

/** 15470264320n → "15.47 G" */
export function count(value, unit = "") {
  const text = prefixed(value, COUNTS, 1000n);
  return text ? text + unit : `${value} ${unit}`.trim();
}

/** 54190080n → "51.68 MiB", or in MB */
export function bytes(value, unit = "MiB") {
  return prefixed(value, BYTES[unit], unit === "MiB" ? 1024n : 1000n) || `${value} B`;
}

/** A share with one decimal; nothing for nothing. */
export function percent(part, whole) {
  if (!part || !whole) return "";
  const tenths = divided(part, 1000n, whole);
  return tenths ? `${tenths / 10n}.${tenths % 10n}%` : "<0.1%";
}

/** A ratio with two decimals: 15470264320n to 724005632n → "×21.37" */
export function times(value, of) {
  const hundredths = divided(value, 100n, of);
  return `×${hundredths / 100n}.${String(hundredths % 100n).padStart(2, "0")}`;
}
