/** Requests that the bridge takes, made by hand. */

/** With one resource of the given name; by its outermost two levels valid for every signal. */
export function request(name: string, payload = ''): Buffer {
  const field = (number: number, bytes: Buffer): Buffer => {
    const length: number[] = [];
    let rest = bytes.length;
    for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), bytes]);
  };
  const string = (text: string) => field(1, Buffer.from(text));
  const attribute = Buffer.concat([string('service.name'), field(2, string(name))]);
  const schemaUrl = field(3, Buffer.from(payload));
  return field(1, Buffer.concat([field(1, field(1, attribute)), schemaUrl]));
}
