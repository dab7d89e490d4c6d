/** A slot table as bytes: u16 LE each, whatever the machine's order. */
import { endianness } from 'node:os';

/** A copy. */
export function slotTableBytes(slots: Uint16Array): Uint8Array {
  return littleEndian(new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength));
}

/** A copy. */
export function slotTableOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(littleEndian(bytes).buffer);
}

/** A copy: from the machine's order to little-endian, or the other way round. */
function littleEndian(u16s: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(u16s);
  if (endianness() === 'BE') Buffer.from(copy.buffer).swap16();
  return copy;
}
