/** The part of the WebAssembly API that host.ts uses: neither `es2024` nor @types/node declare it, and `dom` would bring the browser along. */
declare namespace WebAssembly {
  class Memory {
    private constructor();
    readonly buffer: ArrayBuffer;
    /** Adds pages of 64 KiB and detaches `buffer`. Throws a RangeError when there is no more. */
    grow(pages: number): number;
  }
  interface Global {
    readonly value: number;
  }
  class Instance {
    private constructor();
    readonly exports: unknown;
  }
  function instantiate(
    bytes: Uint8Array,
    imports: Record<string, Record<string, unknown>>,
  ): Promise<{ readonly instance: Instance }>;
}
