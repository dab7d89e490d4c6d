/**
 * Samples of the keys by their load: the item bytes of a call lie end to end; of each so many of them one is drawn, and the key of
 * the item that it lies in is taken. What keys there are need not be known, and a hot one comes up in proportion to its bytes.
 */
import {
  KEY_HASHES,
  KEY_NAME_BYTES,
  KEY_NAMES,
  KEY_SAMPLE_BYTES,
  KEY_SAMPLES,
  MAX_KEY_SAMPLES,
  NAMED_EVERY,
  SAMPLE_AT,
  SAMPLE_BYTES,
  SAMPLES,
} from './arena';
import { hashBytes } from './hash';
import { nameKey } from './key-names';

const KEY_STRIDE: u32 = 16_384;
/** How much of its first item seeds a call: the draws go by what is in it, or calls that are alike in size would show always the same keys. */
const MAX_SEED_BYTES: u32 = 1_024;

/** Sampled keys of the call. */
export let keySamples: u32 = 0;
/** Where the next drawn byte lies, and where its stride begins. */
export let nextKeySample: u32 = 0;
let keyStride: u32 = 0;
/** State of xorshift32; 0 before the first item of the call. */
let random: u32 = 0;

export function beginKeySamples(): void {
  keySamples = 0;
  nextKeySample = 0;
  keyStride = 0;
  random = 0;
}

function drawInStride(): u32 {
  random ^= random << 13;
  random ^= random >> 17;
  random ^= random << 5;
  return keyStride + (random & (KEY_STRIDE - 1));
}

/** Takes the key of an item that ends at byte `end` of the call's, once, for as many drawn bytes as lie in it. */
export function sampleKey(sample: usize, end: u32): void {
  if (random == 0) {
    const seedBytes = min<u32>(load<u32>(sample, SAMPLE_BYTES), MAX_SEED_BYTES);
    random = <u32>hashBytes(<usize>load<u32>(sample, SAMPLE_AT), seedBytes) | 1;
    nextKeySample = drawInStride();
  }
  let bytes: u32 = 0;
  for (; nextKeySample < end; bytes += KEY_STRIDE) {
    keyStride += KEY_STRIDE;
    nextKeySample = drawInStride();
  }
  if (bytes == 0 || keySamples == MAX_KEY_SAMPLES) return;
  store<u64>(KEY_SAMPLES + ((<usize>keySamples) << 3), load<u64>(KEY_HASHES + ((sample - SAMPLES) >> 2)));
  store<u32>(KEY_SAMPLE_BYTES + ((<usize>keySamples) << 2), bytes);
  if (keySamples % NAMED_EVERY == 0) nameKey(KEY_NAMES + <usize>(keySamples / NAMED_EVERY) * KEY_NAME_BYTES, sample);
  keySamples++;
}
