/** Scattering vector of a pixel, beam center and resolution rings, from the numbers of a PONI file (pyFAI's axes). */

export interface Geometry {
  dist: number;
  poni1: number;
  poni2: number;
  rot1: number;
  rot2: number;
  rot3: number;
  wavelength: number | null;
  pixel1: number;
  pixel2: number;
}

/** An attribute with parts: HDF5 has none, and so it comes as JSON text. */
export function objectOf(attribute: unknown): Record<string, unknown> {
  try {
    const found: unknown = typeof attribute === "string" ? JSON.parse(attribute) : attribute;
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Return the geometry that an attribute tells, `null` if it is none. */
export function geometryOf(attribute: unknown): Geometry | null {
  const given = new Map(Object.entries(objectOf(attribute)).map(([key, value]) => [key.toLowerCase(), value as unknown]));
  const number = (...names: string[]): number | null => {
    for (const name of names) if (given.get(name) !== undefined && given.get(name) !== null) return Number(given.get(name));
    return null;
  };
  const dist = number("dist", "distance"), poni1 = number("poni1"), poni2 = number("poni2");
  const pixel1 = number("pixel1", "pixelsize1"), pixel2 = number("pixel2", "pixelsize2");
  if (!dist || poni1 === null || poni2 === null || !pixel1 || !pixel2) return null;
  const found = {
    dist, poni1, poni2, pixel1, pixel2,
    rot1: number("rot1") ?? 0, rot2: number("rot2") ?? 0, rot3: number("rot3") ?? 0, wavelength: number("wavelength"),
  };
  return Object.values(found).every((value) => value === null || Number.isFinite(value)) ? found : null;
}

/** Rows of the rotation from detector (slow, fast, normal) to laboratory axes, the last of which is the beam. */
function rotation({ rot1, rot2, rot3 }: Geometry): [number, number, number][] {
  const [c1, s1, c2, s2, c3, s3] = [Math.cos(rot1), Math.sin(rot1), Math.cos(rot2), Math.sin(rot2), Math.cos(rot3), Math.sin(rot3)];
  return [
    [c2 * c3, c3 * s1 * s2 - c1 * s3, -(c1 * c3 * s2 + s1 * s3)],
    [c2 * s3, c1 * c3 + s1 * s2 * s3, -(c1 * s2 * s3 - c3 * s1)],
    [s2, -c2 * s1, c1 * c2],
  ];
}

/** Scattering angle 2θ at a place (slow, fast) in pixels, counted from the corner of the first [rad]. */
export function twoTheta(geometry: Geometry, slow: number, fast: number): number {
  const p1 = slow * geometry.pixel1 - geometry.poni1, p2 = fast * geometry.pixel2 - geometry.poni2;
  const [t1, t2, t3] = rotation(geometry).map((row) => row[0] * p1 + row[1] * p2 + row[2] * geometry.dist);
  return Math.atan2(Math.hypot(t1!, t2!), t3!);
}

/** q [1/Å] of a scattering angle, `null` where the wavelength is not known. */
export function qOf(geometry: Geometry, angle: number): number | null {
  return geometry.wavelength ? (4 * Math.PI * Math.sin(angle / 2)) / (geometry.wavelength * 1e10) : null;
}

/** Where the ray (2θ, azimuth) meets the detector, (slow, fast) [px]; `null` if it does not. */
export function onDetector(geometry: Geometry, angle: number, azimuth: number): [number, number] | null {
  const ray = [Math.sin(angle) * Math.cos(azimuth), Math.sin(angle) * Math.sin(azimuth), Math.cos(angle)];
  const rows = rotation(geometry);
  const along = (axis: 0 | 1 | 2) => rows.reduce((sum, row, index) => sum + row[axis] * ray[index]!, 0);
  const depth = along(2);
  if (depth <= 1e-6) return null;
  const factor = geometry.dist / depth;
  return [(along(0) * factor + geometry.poni1) / geometry.pixel1, (along(1) * factor + geometry.poni2) / geometry.pixel2];
}

export function beamCenter(geometry: Geometry): [number, number] | null {
  return onDetector(geometry, 0, 0);
}

/** Resolution rings: d [Å] with the corners of a polygon (slow, fast) [px]; a few that fit on the detector. */
export function rings(geometry: Geometry, rows: number, columns: number): { d: number; points: ([number, number] | null)[] }[] {
  const corners = [[0, 0], [0, columns], [rows, 0], [rows, columns]] as const;
  const largest = Math.max(...corners.map(([slow, fast]) => qOf(geometry, twoTheta(geometry, slow, fast)) ?? 0));
  if (!(largest > 0)) return [];
  return [0.25, 0.45, 0.65, 0.85].map((part) => {
    const d = nice((2 * Math.PI) / (largest * part));
    const angle = 2 * Math.asin(Math.min(((geometry.wavelength ?? 0) * 1e10) / (2 * d), 1));
    const points = Array.from({ length: 121 }, (_, index) => onDetector(geometry, angle, (index * Math.PI) / 60));
    return { d, points };
  });
}

function nice(value: number): number {
  const digit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.round(value / digit) * digit).toPrecision(2));
}
