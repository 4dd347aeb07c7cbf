/** Geometry of regions: outlines, hits, handles, moving and reshaping; all in detector pixels, (slow, fast). */

import type { Region } from "./protocol.ts";

export type Place = [number, number];
export type Shape = Pick<Region, "kind" | "bounds" | "vertices" | "center" | "r_min" | "r_max">;

const clone = (shape: Shape): Shape => structuredClone({
  kind: shape.kind,
  ...(shape.bounds && { bounds: shape.bounds }),
  ...(shape.vertices && { vertices: shape.vertices }),
  ...(shape.center && { center: shape.center, r_min: shape.r_min ?? 0, r_max: shape.r_max ?? 0 }),
});

/** Whole-number rectangle between two places, half-open, at least a pixel large. */
export function rectangleBetween(a: Place, b: Place): [number, number, number, number] {
  const span = (p: number, q: number): [number, number] => {
    const low = Math.max(Math.floor(Math.min(p, q)), 0);
    return [low, Math.max(Math.ceil(Math.max(p, q)), low + 1)];
  };
  return [...span(a[0], b[0]), ...span(a[1], b[1])];
}

export function isInside(shape: Shape, [slow, fast]: Place): boolean {
  if (shape.bounds) {
    const [top, bottom, left, right] = shape.bounds;
    return slow >= top && slow < bottom && fast >= left && fast < right;
  }
  if (shape.center) {
    const radius = Math.hypot(slow - shape.center[0], fast - shape.center[1]);
    return radius >= (shape.r_min ?? 0) && radius < (shape.r_max ?? 0);
  }
  const vertices = shape.vertices ?? [];
  let inside = false;
  vertices.forEach(([slowA, fastA], index) => {
    const [slowB, fastB] = vertices[(index + vertices.length - 1) % vertices.length]!;
    if (slowA > slow !== slowB > slow && fast < fastA + ((slow - slowA) / (slowB - slowA)) * (fastB - fastA)) inside = !inside;
  });
  return inside;
}

/** Places by which a shape is pulled into another form. */
export function handles(shape: Shape): Place[] {
  if (shape.bounds) {
    const [top, bottom, left, right] = shape.bounds;
    return [[top, left], [top, right], [bottom, right], [bottom, left]];
  }
  if (shape.center) {
    const [slow, fast] = shape.center;
    return [[slow, fast + (shape.r_max ?? 0)], [slow, fast + (shape.r_min ?? 0)], [slow, fast]];
  }
  return shape.vertices ?? [];
}

/** Index of the handle within `reach` pixels of a place, -1 for none. */
export function handleAt(shape: Shape, place: Place, reach: number): number {
  return handles(shape).findIndex(([slow, fast]) => Math.hypot(slow - place[0], fast - place[1]) <= reach);
}

export function moved(shape: Shape, slow: number, fast: number): Shape {
  const result = clone(shape);
  if (result.bounds) {
    const down = Math.max(Math.round(slow), -result.bounds[0]), right = Math.max(Math.round(fast), -result.bounds[2]);
    const [a, b, c, d] = result.bounds;
    result.bounds = [a + down, b + down, c + right, d + right];
  }
  if (result.center) result.center = [result.center[0] + slow, result.center[1] + fast];
  if (result.vertices) result.vertices = result.vertices.map((vertex) => [vertex[0] + slow, vertex[1] + fast]);
  return result;
}

/** The shape with one of its handles pulled to a place. */
export function reshaped(shape: Shape, handle: number, place: Place): Shape {
  const result = clone(shape);
  if (result.bounds) {
    result.bounds = rectangleBetween(handles(shape)[(handle + 2) % 4]!, place.map(Math.round) as Place);
  } else if (result.center && handle === 2) {
    result.center = place;
  } else if (result.center) {
    const radius = Math.hypot(place[0] - result.center[0], place[1] - result.center[1]);
    if (handle === 0) result.r_max = Math.max(radius, (result.r_min ?? 0) + 1);
    else result.r_min = Math.max(Math.min(radius, (result.r_max ?? 1) - 1), 0);
  } else if (result.vertices) {
    result.vertices[handle] = place;
  }
  return result;
}

/** Where its name is written. */
export function labelPlace(shape: Shape): Place {
  if (shape.bounds) return [shape.bounds[0], shape.bounds[2]];
  if (shape.center) return [shape.center[0] - (shape.r_max ?? 0), shape.center[1]];
  return (shape.vertices ?? []).reduce((top, vertex) => (vertex[0] < top[0] ? vertex : top), [Infinity, 0] as Place);
}
