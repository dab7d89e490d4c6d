/**
 * Reads JSON (RFC 8259) token by token from UTF-8 bytes. Strings and numbers are left as bytes: `from` to `to` of `text`,
 * until the next is read. Errors say where and what was expected, and quote nothing from the document.
 */

/** Not JSON, or not what was expected there. */
export class Malformed extends Error {}

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const MINUS = 0x2d;
export const DOT = 0x2e;
export const ZERO = 0x30;
export const NINE = 0x39;
export const COLON = 0x3a;
export const OPEN_ARRAY = 0x5b;
export const BACKSLASH = 0x5c;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;
export const FIRST_OF_TRUE = 0x74;
export const FIRST_OF_FALSE = 0x66;
export const FIRST_OF_NULL = 0x6e;

const LITERALS = { true: Buffer.from('true'), false: Buffer.from('false'), null: Buffer.from('null') };
const TWO_32 = 0x1_0000_0000;

export class JsonReader {
  readonly json: Buffer;
  /** Next byte to read. */
  at = 0;
  /** The string (escapes resolved) or number read last. */
  text: Buffer;
  from = 0;
  to = 0;
  /** What `integer` took: sign and magnitude. */
  negative = false;
  high = 0;
  low = 0;
  /** Path to where the reader stands, for errors. */
  private readonly path: () => string;

  constructor(json: Buffer, path: () => string) {
    this.json = json;
    this.text = json;
    this.path = path;
  }

  /** The byte that the next token begins with; NaN at the end. */
  peek(): number {
    const { json } = this;
    return this.at < json.length ? json[this.at]! : Number.NaN;
  }

  space(): void {
    const { json } = this;
    for (; this.at < json.length; this.at++) {
      const byte = json[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
    }
  }

  literal(name: keyof typeof LITERALS): void {
    const bytes = LITERALS[name];
    if (!sameBytes(bytes, this.json, this.at, Math.min(this.at + bytes.length, this.json.length))) this.fail('a value');
    this.at += bytes.length;
  }

  /** Reads a key and its colon, up to the value. */
  key(): void {
    this.string('a key in quotes');
    this.space();
    if (this.peek() !== COLON) this.fail('":"');
    this.at++;
    this.space();
  }

  string(expected: string): void {
    const { json } = this;
    if (this.peek() !== QUOTE) this.fail(expected);
    const start = this.at;
    let at = start + 1;
    let escaped = false;
    for (; at < json.length; at++) {
      const byte = json[at]!;
      if (byte === QUOTE) break;
      if (byte < 0x20) this.fail('no control character within a string', at);
      if (byte === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
    if (at >= json.length) this.fail('a closing quote', json.length);
    this.at = at + 1;
    this.text = json;
    this.from = start + 1;
    this.to = at;
    if (escaped) this.unescape(start);
  }

  /** The string that begins at `start` and ends at `at`. Lone surrogates become U+FFFD. */
  private unescape(start: number): void {
    let value: string;
    try {
      value = JSON.parse(this.json.toString('utf8', start, this.at));
    } catch {
      this.fail('valid escapes within a string', start);
    }
    this.text = Buffer.from(value, 'utf8');
    this.from = 0;
    this.to = this.text.length;
  }

  /** -? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [+-]? [0-9]+)? */
  number(expected: string): void {
    const end = numberEnd(this.json, this.at, this.json.length);
    if (end < 0) this.fail(expected);
    this.text = this.json;
    this.from = this.at;
    this.to = end;
    this.at = end;
  }

  /** Whether the text read last, be it a string, is a JSON number. */
  textIsNumber(): boolean {
    return this.from < this.to && numberEnd(this.text, this.from, this.to) === this.to;
  }

  textAsDouble(): number {
    return Number(this.text.toString('latin1', this.from, this.to));
  }

  /** Takes the integer from the number read last, exactly; false when it is none, or its magnitude is 2^64 or more. */
  integer(): boolean {
    const { text, to } = this;
    let at = this.from;
    this.negative = text[at] === MINUS;
    if (this.negative) at++;
    let high = 0;
    let low = 0;
    for (; at < to; at++) {
      const digit = text[at]! - ZERO;
      if (digit < 0 || digit > 9) return this.integerFromDouble(); // 1e3 and 1.0 are integers, too
      low = low * 10 + digit;
      const carry = Math.floor(low / TWO_32);
      low -= carry * TWO_32;
      high = high * 10 + carry;
      if (high >= TWO_32) return false;
    }
    this.high = high;
    this.low = low;
    return true;
  }

  private integerFromDouble(): boolean {
    const value = Math.abs(this.textAsDouble());
    if (!Number.isInteger(value) || value >= TWO_32 * TWO_32) return false;
    this.high = Math.floor(value / TWO_32);
    this.low = value % TWO_32;
    return true;
  }

  /** Calls `element` at the start of each element, which must read it. */
  elements(element: (index: number) => void): void {
    if (this.peek() !== OPEN_ARRAY) this.fail('an array');
    this.at++;
    this.space();
    if (this.peek() === CLOSE_ARRAY) {
      this.at++;
      return;
    }
    for (let index = 0; ; index++) {
      this.space();
      element(index);
      this.space();
      if (this.endsOrGoesOn(CLOSE_ARRAY, '"," or "]"')) return;
    }
  }

  /** Calls `member` at the start of each key, which must read it and its value. */
  members(member: () => void): void {
    if (this.peek() !== OPEN_OBJECT) this.fail('an object');
    this.at++;
    this.space();
    if (this.peek() === CLOSE_OBJECT) {
      this.at++;
      return;
    }
    for (;;) {
      this.space();
      member();
      this.space();
      if (this.endsOrGoesOn(CLOSE_OBJECT, '"," or "}"')) return;
    }
  }

  private endsOrGoesOn(close: number, expected: string): boolean {
    const byte = this.peek();
    if (byte !== close && byte !== COMMA) this.fail(expected);
    this.at++;
    return byte === close;
  }

  /** Over any value, with at most `levels` of nesting. */
  skip(levels: number): void {
    if (levels < 0) this.fail('less nesting');
    switch (this.peek()) {
      case QUOTE:
        this.string('a string');
        break;
      case FIRST_OF_TRUE:
        this.literal('true');
        break;
      case FIRST_OF_FALSE:
        this.literal('false');
        break;
      case FIRST_OF_NULL:
        this.literal('null');
        break;
      case OPEN_ARRAY:
        this.elements(() => this.skip(levels - 1));
        break;
      case OPEN_OBJECT:
        this.members(() => {
          this.key();
          this.skip(levels - 1);
        });
        break;
      default:
        this.number('a value');
    }
  }

  fail(expected: string, at = this.at): never {
    throw new Malformed(
      `${this.path() || 'the document'}, byte ${at}: expected ${expected}, found ${nameOf(this.json[at])}`,
    );
  }
}

/** What a byte begins; never the value itself. */
function nameOf(byte: number | undefined): string {
  if (byte === undefined) return 'the end';
  if (byte === QUOTE) return 'a string';
  if (byte === OPEN_OBJECT) return 'an object';
  if (byte === OPEN_ARRAY) return 'an array';
  if (byte === FIRST_OF_TRUE || byte === FIRST_OF_FALSE) return 'true or false';
  if (byte === FIRST_OF_NULL) return 'null';
  if (byte === MINUS || (byte >= ZERO && byte <= NINE)) return 'a number';
  return 'something else';
}

function numberEnd(text: Buffer, from: number, to: number): number {
  let at = from;
  if (at < to && text[at] === MINUS) at++;
  const whole = at;
  at = digitsEnd(text, at, to);
  if (at === whole || (text[whole] === ZERO && at > whole + 1)) return -1;
  if (at < to && text[at] === DOT) {
    const fraction = at + 1;
    at = digitsEnd(text, fraction, to);
    if (at === fraction) return -1;
  }
  if (at < to && (text[at] === 0x65 || text[at] === 0x45)) {
    at++;
    if (at < to && (text[at] === 0x2b || text[at] === MINUS)) at++;
    const exponent = at;
    at = digitsEnd(text, exponent, to);
    if (at === exponent) return -1;
  }
  return at;
}

function digitsEnd(text: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && text[at]! >= ZERO && text[at]! <= NINE) at++;
  return at;
}

export function sameBytes(name: Uint8Array, text: Uint8Array, from: number, to: number): boolean {
  if (to - from !== name.length) return false;
  for (let at = 0; at < name.length; at++) if (name[at] !== text[from + at]) return false;
  return true;
}
