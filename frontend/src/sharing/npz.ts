/** Arrays in one file that NumPy opens: a zip, not compressed, with a `.npy` for each. */

export interface Array_ {
  name: string;
  shape: number[];
  values: Float32Array;
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** A `.npy` of version 1.0: the header fills up to a multiple of 64 bytes. */
function npy({ shape, values }: Array_): Uint8Array {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const words = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dimensions}), }`;
  const header = `${words.padEnd(Math.ceil((words.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + values.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 10 + header.length);
  return bytes;
}

/** Little-endian numbers: each with how many bytes it takes. */
function packed(...numbers: [number, 2 | 4][]): Uint8Array {
  const bytes = new Uint8Array(numbers.reduce((sum, [, size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, size] of numbers) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

const UTF8 = 0x800;
const DAY = 0x21; // the first of January 1980: the same maps are the same bytes

/** A `.npz` of these arrays. */
export function npz(arrays: Array_[]): Blob {
  const files: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const one of arrays) {
    const name = new TextEncoder().encode(`${one.name}.npy`);
    const content = npy(one);
    const facts: [number, 2 | 4][] = [
      [20, 2], [UTF8, 2], [0, 2], [0, 2], [DAY, 2],
      [crc32(content), 4], [content.length, 4], [content.length, 4], [name.length, 2], [0, 2],
    ];
    files.push(packed([0x04034b50, 4], ...facts), name, content);
    directory.push(packed([0x02014b50, 4], [20, 2], ...facts, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
    offset += 30 + name.length + content.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = packed(
    [0x06054b50, 4], [0, 2], [0, 2], [arrays.length, 2], [arrays.length, 2], [size, 4], [offset, 4], [0, 2],
  );
  return new Blob([...files, ...directory, end] as BlobPart[], { type: "application/zip" });
}
