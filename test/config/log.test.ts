import { describe, expect, it } from 'vitest';
import { WeirError } from '../../src/errors.ts';
import { createLog, type LogOptions } from '../../src/log.ts';

function logInto(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({ level: 'info', stream: { write: (line) => lines.push(line) }, ...options });
  return { log, lines, text: () => lines.join('') };
}

describe('the log', () => {
  it('writes JSON lines where nobody looks at a terminal', () => {
    const { log, lines } = logInto();
    log.child({ role: 'bridge' }).info({ port: 4317 }, 'listening');
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      role: 'bridge',
      port: 4317,
      msg: 'listening',
    });
  });

  it('writes short lines on a terminal', () => {
    const { log, lines } = logInto({ human: true });
    log.child({ role: 'bridge' }).warn({ bytes: 12, topic: 'a' }, 'the queue is full');
    expect(lines).toEqual([
      expect.stringMatching(/^\d\d:\d\d:\d\d warn {2}bridge: the queue is full {2}bytes=12 {2}topic=a\n$/),
    ]);
  });

  it('colours by level where asked to', () => {
    const { log, text } = logInto({ human: true, color: true });
    log.error('no');
    expect(text()).toContain('\x1b[31m');
  });

  it('leaves out what is below its level', () => {
    const { log, lines } = logInto({ level: 'warn' });
    log.info('unheard');
    expect(lines).toEqual([]);
  });

  it.each([true, false])('hides secrets at any depth and in bindings (human: %s)', (human) => {
    const { log, text } = logInto({ human });
    log.info({ config: { kafka: { sasl: { mechanism: 'plain', password: 'hunter2' } } } }, 'started');
    log.info({ requests: [{ Authorization: 'Bearer hunter2' }], clientSecret: 'hunter2' }, 'sent');
    log.child({ token: 'hunter2' }).info('bound');
    expect(text()).not.toContain('hunter2');
    expect(text()).toContain('mechanism');
  });

  it('gives a bug its stack, and an error that users know none', () => {
    const { log, lines } = logInto();
    log.error({ err: new TypeError('a bug') }, 'failed');
    log.error({ err: new WeirError('PORT_TAKEN', 'in use', { cause: new Error('EADDRINUSE') }) }, 'failed');
    const [bug, known] = lines.map((line) => JSON.parse(line).err);
    expect(bug.stack).toContain('log.test.ts');
    expect(known).toEqual({ code: 'PORT_TAKEN', message: 'in use', cause: 'EADDRINUSE' });
  });
});
