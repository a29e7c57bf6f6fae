/** Goal: the original's texts read here and come out byte for byte the same; what would be altered on the way is refused. */
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { fromEventJson, fromEventsJson, toEventJson, toEventsJson, toHistoryJson } from '../../src/model/event-json.js';
import type { EventFromJson } from '../../src/model/event-json.js';
import { Fact } from '../../src/model/event.js';
import { parseProcessingId } from '../../src/model/processing-id.js';
import { refusalOf } from './refusal.js';

/** As the original wrote them. */
const LOGGED =
  '{"aggregateType":"parcel","aggregateId":"p1","name":"receivedAtDepot","version":"0","eventTimestamp":1476262800123,"streamId":"depot","processingId":"a1966f51-e6f6-11f1-ffff-ffffffffff65","characteristics":1,"parameters":{"depotId":"depot-1"}}';
const NOT_LOGGED =
  '{"aggregateType":"parcel","aggregateId":"p1","name":"deliveryFailed","version":"0","eventTimestamp":1476262800123,"streamId":"","processingId":"","characteristics":0,"parameters":{}}';
const RENAMED =
  '{"aggregateType":"sample","aggregateId":"s1","name":"renamed","version":"2","eventTimestamp":1476262800124,"streamId":"depot","processingId":"","characteristics":0,"parameters":{"wire-name":"value"}}';
const EVERYTHING =
  '{"aggregateType":"sample","aggregateId":"s1","name":"everything","version":"0","eventTimestamp":1476262800123,"streamId":"depot","processingId":"","characteristics":1,"parameters":{"bytes":"AQL/","colour":"GREEN","date":[2016,10,12],"decimal":12.34,"f64":0.1,"flag":true,"i32":42,"i64":9007199254740993,"instant":1.476262800123456E9,"lines":["l1","l2"],"list":["x","y"],"map":{"b":2,"a":1},"none":null,"some":"here","text":"café \\"q\\" 📦","uuid":"00000000-0000-4000-8000-000000000001"}}';

function factFrom(event: EventFromJson): Fact {
  return new Fact(
    {
      tenant: event.tenant ?? '',
      aggregateType: event.aggregateType,
      aggregateId: event.aggregateId,
      name: event.name,
      version: event.version,
      eventTime: event.at,
      streamId: event.streamId,
      sequence: event.sequence ?? -1,
      characteristics: event.characteristics,
      content: canonicalJson(event.parameters),
      metadata: event.metadata,
    },
    event.processingId,
    event.processingId === '' ? -1 : parseProcessingId(event.processingId).ms,
  );
}

const changed = (change: Record<string, unknown>): string => JSON.stringify({ ...JSON.parse(LOGGED), ...change });

describe('wire JSON', () => {
  it.each([LOGGED, NOT_LOGGED, RENAMED])('writes what it read, byte for byte: %s', (text) => {
    expect(toEventJson(factFrom(fromEventJson(text)))).toBe(text);
  });

  it('reads each field of the form', () => {
    expect(fromEventJson(LOGGED)).toEqual({
      tenant: '',
      aggregateType: 'parcel',
      aggregateId: 'p1',
      name: 'receivedAtDepot',
      version: '0',
      at: 1_476_262_800_123,
      streamId: 'depot',
      sequence: -1,
      parameters: { depotId: 'depot-1' },
      metadata: undefined,
      processingId: 'a1966f51-e6f6-11f1-ffff-ffffffffff65',
      characteristics: 1,
    });
  });

  it('refuses the bare 64-bit integer that JSON.parse would change, and names it', () => {
    const refusal = refusalOf(() => fromEventJson(EVERYTHING));
    expect(refusal.code).toBe('PARAMETER_TYPE');
    expect(refusal.details).toMatchObject({ path: 'i64' });
    expect(refusal.fix).toContain('bigint');
  });

  it('reads every other kind of value, and writes parameters in alphabetical order', () => {
    const text = EVERYTHING.replace('9007199254740993', '9007199254740991');
    const written = toEventJson(factFrom(fromEventJson(text)));
    expect(written).toBe(
      text.replace('1.476262800123456E9', '1476262800.123456').replace('{"b":2,"a":1}', '{"a":1,"b":2}'),
    );
  });

  it('appends what 0.6 lacks, only when it is used', () => {
    const text = `${LOGGED.slice(0, -1)},"sequence":0,"tenant":"acme","metadata":{"a":"1","b":"é"}}`;
    const event = fromEventJson(text);
    expect(event).toMatchObject({ sequence: 0, tenant: 'acme', metadata: { a: '1', b: 'é' } });
    expect(toEventJson(factFrom(event))).toBe(text);
    expect(toEventJson(factFrom(fromEventJson(changed({ metadata: { b: '2', a: '1' } }))))).toMatch(
      /,"metadata":\{"a":"1","b":"2"\}\}$/,
    );
  });

  it('leaves white space and the order of keys free, and takes parsed objects', () => {
    const loose = JSON.stringify(
      Object.fromEntries(Object.entries(JSON.parse(LOGGED) as object).toReversed()),
      null,
      2,
    );
    expect(fromEventJson(loose)).toEqual(fromEventJson(LOGGED));
    expect(fromEventJson(JSON.parse(LOGGED) as object)).toEqual(fromEventJson(LOGGED));
  });

  it('takes absent characteristics for none, and an absent processing id for not logged', () => {
    const event = fromEventJson(changed({ characteristics: undefined, processingId: undefined }));
    expect(event.characteristics).toBe(0);
    expect(event.processingId).toBe('');
  });

  it('escapes what needs it in ids and names', () => {
    const text = changed({ aggregateId: 'a"b\\c\u0001/:é📦' });
    expect(toEventJson(factFrom(fromEventJson(text)))).toBe(text);
  });

  it.each([
    ['{', 'INVALID_JSON'],
    ['', 'INVALID_JSON'],
    [`${LOGGED}${LOGGED}`, 'INVALID_JSON'],
    ['null', 'INVALID_EVENT'],
    ['[]', 'INVALID_EVENT'],
    ['"text"', 'INVALID_EVENT'],
    ['{}', 'INVALID_EVENT'],
    ['{"metadata":{"aggregateType":"parcel"},"parameters":{}}', 'INVALID_EVENT'],
    [changed({ extra: 1 }), 'INVALID_EVENT'],
    [`{"__proto__":{},${LOGGED.slice(1)}`, 'FORBIDDEN_KEY'],
    [changed({ name: 1 }), 'INVALID_EVENT'],
    [changed({ name: undefined }), 'INVALID_EVENT'],
    [changed({ version: 0 }), 'INVALID_EVENT'],
    [changed({ streamId: undefined }), 'INVALID_EVENT'],
    [changed({ parameters: undefined }), 'INVALID_EVENT'],
    [changed({ parameters: [] }), 'INVALID_EVENT'],
    [changed({ characteristics: 5 }), 'INVALID_EVENT'],
    [changed({ characteristics: '1' }), 'INVALID_EVENT'],
    [changed({ processingId: '01890000-0000-7000-8000-000000000000' }), 'INVALID_EVENT'],
    [changed({ processingId: null }), 'INVALID_EVENT'],
    [changed({ eventTimestamp: undefined }), 'INVALID_EVENT'],
    [changed({ eventTimestamp: '2016-10-12T09:00:00.123Z' }), 'INVALID_TIME'],
    [changed({ eventTimestamp: 1.5 }), 'INVALID_TIME'],
    [changed({ eventTimestamp: 8.64e15 }), 'INVALID_TIME'],
    [changed({ aggregateId: '' }), 'INVALID_ID'],
    [changed({ aggregateId: 'a\u0000' }), 'INVALID_ID'],
    [LOGGED.replace('"p1"', '"\\ud800"'), 'INVALID_ID'],
    [changed({ aggregateId: 'x'.repeat(10_240) }), 'LIMIT_EXCEEDED'],
    [changed({ sequence: -2 }), 'INVALID_SEQUENCE'],
    [changed({ sequence: null }), 'INVALID_SEQUENCE'],
    [changed({ tenant: 1 }), 'INVALID_ID'],
    [changed({ metadata: { a: 1 } }), 'INVALID_EVENT'],
    [LOGGED.replace('{"depotId":"depot-1"}', '{"__proto__":{"polluted":true}}'), 'FORBIDDEN_KEY'],
    [LOGGED.replace('{"depotId":"depot-1"}', '{"a":{"constructor":1}}'), 'FORBIDDEN_KEY'],
    [LOGGED.replace('"depot-1"', '"\\udc00"'), 'INVALID_TEXT'],
    [LOGGED.replace('"depot-1"', '1e400'), 'PARAMETER_TYPE'],
    [LOGGED.replace('"depot-1"', `${'['.repeat(10_000)}${']'.repeat(10_000)}`), 'LIMIT_EXCEEDED'],
  ])('refuses %.80s … with %s', (text, code) => {
    expect(refusalOf(() => fromEventJson(text)).code).toBe(code);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe('arrays of wire JSON', () => {
  it('holds the same objects', () => {
    const text = `[${LOGGED},${NOT_LOGGED}]`;
    expect(toEventsJson(fromEventsJson(text).map(factFrom))).toBe(text);
    expect(fromEventsJson('[]')).toEqual([]);
    expect(toEventsJson([])).toBe('[]');
  });

  it('names the place of what is wrong', () => {
    const refusal = refusalOf(() => fromEventsJson(`[${LOGGED},${changed({ parameters: { a: { b: 2 ** 60 } } })}]`));
    expect(refusal.code).toBe('PARAMETER_TYPE');
    expect(refusal.reason).toContain('[1]');
    expect(refusal.details).toMatchObject({ at: '[1]', path: 'a.b' });
  });

  it('refuses what is no array and what is too long', () => {
    expect(refusalOf(() => fromEventsJson(LOGGED)).code).toBe('INVALID_EVENT');
    expect(refusalOf(() => fromEventsJson('[')).code).toBe('INVALID_JSON');
    expect(refusalOf(() => fromEventsJson(Array.from({ length: 10_001 }, () => ({})))).code).toBe('LIMIT_EXCEEDED');
  });
});

describe('toHistoryJson', () => {
  it('shows both times as ISO text', () => {
    const fact = factFrom(fromEventJson(LOGGED));
    fact.repeats = 2;
    expect(toHistoryJson(fact)).toEqual({
      name: 'receivedAtDepot',
      at: '2016-10-12T09:00:00.123Z',
      processedAt: new Date(parseProcessingId('a1966f51-e6f6-11f1-ffff-ffffffffff65').ms).toISOString(),
      stream: 'depot',
      sequence: -1,
      digest: fact.digest,
      parameters: { depotId: 'depot-1' },
      repeats: 2,
    });
  });

  it('says null for an event that was not logged', () => {
    expect(toHistoryJson(factFrom(fromEventJson(NOT_LOGGED))).processedAt).toBeNull();
  });
});
