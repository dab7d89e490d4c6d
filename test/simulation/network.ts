/** The way from each member to the in-process broker: how long a request takes, and what is lost. */
import type { Fate, MemoryKafka, Request } from '../../src/kafka/memory/index.ts';
import type { KafkaPort, TopicPartition } from '../../src/kafka/port.ts';
import type { Member, VirtualTime } from './virtual-time.ts';

/** Requests for one partition take longer. */
export interface SlowPartition extends TopicPartition {
  /** For whom; null: for all. */
  readonly member: Member | null;
  readonly delayMs: number;
}

/** Of requests and of replies that take no time at all: with all the others on their way they make enough disorder. */
const AT_ONCE = 0.6;

export class Network {
  readonly slow = new Set<SlowPartition>();
  /** Of requests; as many lose their reply. */
  lostShare: number;
  readonly #time: VirtualTime;
  readonly #kafka: MemoryKafka;
  readonly #longestMs: number;
  readonly #onTransactionEnd: (topics: ReadonlySet<string>) => void;

  /** `onTransactionEnd`: the broker has been asked to end one, and has perhaps done it; with the topics that its client has written to meanwhile. */
  constructor(
    time: VirtualTime,
    kafka: MemoryKafka,
    options: { readonly lostShare: number; readonly longestMs: number },
    onTransactionEnd: (topics: ReadonlySet<string>) => void,
  ) {
    this.#time = time;
    this.#kafka = kafka;
    this.#onTransactionEnd = onTransactionEnd;
    this.lostShare = options.lostShare;
    this.#longestMs = options.longestMs;
  }

  connect(member: Member): KafkaPort {
    const { random } = this.#time;
    const wait = (delayMs: number) => {
      if (delayMs === 0 && !member.isPaused && !member.isDead) return undefined;
      return this.#time.as(member, () => this.#time.sleep(delayMs));
    };
    let written = new Set<string>();
    const delay = () => (random.chance(AT_ONCE) ? 0 : random.integer(1, this.#longestMs));
    return this.#kafka.connect(
      (request) => {
        const fate = this.#fate();
        this.#time.note(member.name, request.name, fate);
        return wait(delay() + this.#slowMs(member, request))?.then(() => fate) ?? fate;
      },
      (request) => {
        if (request.name === 'Produce' && request.transactional) written.add(request.at!.topic);
        if (request.name === 'EndTxn') {
          this.#onTransactionEnd(written);
          written = new Set();
        }
        return wait(delay());
      },
    );
  }

  #fate(): Fate {
    const drawn = this.#time.random.unit();
    if (drawn < this.lostShare) return 'lose-request';
    return drawn < 2 * this.lostShare ? 'lose-reply' : 'deliver';
  }

  #slowMs(asking: Member, { at }: Request): number {
    let ms = 0;
    if (at && this.slow.size > 0)
      for (const { member, topic, partition, delayMs } of this.slow)
        if ((member ?? asking) === asking && topic === at.topic && partition === at.partition) ms += delayMs;
    return ms;
  }
}
