/** From the hash of an item's key to its shard. */
import { KEY_HASHES, NIL, SAMPLE_HASH, SAMPLE_SHARD, SAMPLE_SLOT, SAMPLES } from './arena';
import { hash16 } from './hash';
import { overrideCount, overrideOf, ownerBytes, SPREAD, slotShift, slotTable } from './routing';
import { findTraceId, foundAt, identityAgain, resourceOf } from './walk-again';

/**
 * Puts shard and slot in the place of the hash, which goes to KEY_HASHES, in all samples of a record: in a loop of its own, which waits
 * for many places of a table at once, where the walk would wait for one an item.
 */
export function routeSamples(samples: u32): void {
  if (overrideCount != 0) return routeOverridden(samples);
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const hash = load<u64>(sample, SAMPLE_HASH);
    store<u64>(KEY_HASHES + ((sample - SAMPLES) >> 2), hash);
    routeBySlot(sample, hash);
  }
}

function routeOverridden(samples: u32): void {
  identifiedResource = 0;
  for (let sample = SAMPLES, end = SAMPLES + ((<usize>samples) << 5); sample < end; sample += 32) {
    const hash = load<u64>(sample, SAMPLE_HASH);
    store<u64>(KEY_HASHES + ((sample - SAMPLES) >> 2), hash);
    const shard = overrideOf(hash);
    if (shard < SPREAD) {
      store<u32>(sample, shard, SAMPLE_SHARD);
      store<u32>(sample, NIL, SAMPLE_SLOT);
    } else routeBySlot(sample, shard == SPREAD ? spreadHash(sample) : hash);
  }
}

function routeBySlot(sample: usize, hash: u64): void {
  const slot = <u32>(hash >> slotShift);
  const owner: u32 = ownerBytes == 1 ? load<u8>(slotTable + <usize>slot) : load<u16>(slotTable + ((<usize>slot) << 1));
  store<u32>(sample, owner, SAMPLE_SHARD);
  store<u32>(sample, slot, SAMPLE_SLOT);
}

// Neighbouring items share their resource.
let identifiedResource: usize = 0;
let identity: u64 = 0;

/** What an item of a key that is spread goes by: its trace id, else the identity of its resource. */
function spreadHash(sample: usize): u64 {
  if (findTraceId(sample)) return hash16(load<u64>(foundAt), load<u64>(foundAt, 8));
  const resource = resourceOf(sample);
  if (resource != identifiedResource) {
    identifiedResource = resource;
    identity = identityAgain(resource);
  }
  return identity;
}
