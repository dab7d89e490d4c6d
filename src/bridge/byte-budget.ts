/**
 * The bridge's memory for requests, in bytes: bodies that are being read, requests that are looked at, records that Kafka has
 * not acknowledged. Whoever holds bytes says so, and whoever wants more asks first.
 */
export class ByteBudget {
  readonly limitBytes: number;
  #heldBytes = 0;
  readonly #onChange: (heldBytes: number) => void;

  constructor(limitBytes: number, onChange: (heldBytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.#onChange = onChange;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** With nothing held anything may come in, else a request above the limit would be told to come again for ever. */
  hasRoomFor(bytes: number): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + bytes <= this.limitBytes;
  }

  hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#onChange(this.#heldBytes);
  }

  release(bytes: number): void {
    this.hold(-bytes);
  }
}
