/**
 * What became of the records that were handed to a producer: a transaction may be committed only when the broker has named an
 * offset for each of its records, and a producer may be closed only when each is reported.
 *
 * An offset, since librdkafka's own word is not enough: where several batches of a partition are on their way it takes one that was
 * refused for stored when the next one is ("implicitly acked"), as a broker takes no batch out of order. But before Kafka 4.5 it
 * takes any first batch from a producer that is new to the partition (KAFKA-15591). The report of a record so lost has no offset.
 */
import type { RdError, RdProducer, RdReport } from './binding.ts';

export class Deliveries {
  #outstanding = 0;
  #failure: Error | undefined;
  #onReport: () => void = () => {};

  constructor(producer: Pick<RdProducer, 'on'>) {
    producer.on('delivery-report', (error, report) => this.#take(error, report));
  }

  /** One more is on its way. */
  expect(): void {
    this.#outstanding++;
  }

  /** As soon as it is known that all have an offset, or that one has not and why. */
  async within(ms: number): Promise<'delivered' | 'pending' | Error> {
    await this.#until(() => this.#failure !== undefined || this.#outstanding === 0, ms);
    return this.#failure ?? (this.#outstanding === 0 ? 'delivered' : 'pending');
  }

  /** Whether each is reported, whatever became of it. */
  async areReportedWithin(ms: number): Promise<boolean> {
    await this.#until(() => this.#outstanding === 0, ms);
    return this.#outstanding === 0;
  }

  async #until(isSo: () => boolean, ms: number): Promise<void> {
    if (isSo()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onReport = () => {
        if (!isSo()) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onReport = () => {};
  }

  #take(error: RdError | null, { topic, partition, offset }: RdReport): void {
    this.#outstanding--;
    if (error) this.#failure ??= error;
    else if (offset < 0)
      this.#failure ??= new Error(`the broker named no offset for a record of ${topic}/${partition}`);
    this.#onReport();
  }
}
