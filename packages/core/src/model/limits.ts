/** The bounds of the model. Every store must hold values up to them; what exceeds one is refused with `LIMIT_EXCEEDED`. */
export const limits = {
  /** UTF-8 bytes of a context or tenant name. */
  contextBytes: 64,
  /** UTF-8 bytes of an aggregate type, event name or version. */
  nameBytes: 128,
  /** UTF-8 bytes of an aggregate id. With type, stream and name it must fit an LMDB key of 1,978 bytes. */
  idBytes: 512,
  /** UTF-8 bytes of a stream id. */
  streamBytes: 256,
  /** UTF-8 bytes of the parameters of one event in canonical form. */
  parametersBytes: 1_048_576,
  /** Nesting of parameters; deeper input would exhaust the stack of a recursive reader. */
  parametersDepth: 64,
  /** Entries of an event's metadata, and UTF-8 bytes of each value. */
  metadataEntries: 16,
  metadataValueBytes: 1_024,
  /** Events of one append: the events of one append share one processing time and differ in a 14-bit field of their id. */
  appendEvents: 10_000,
  /** Events of one decision, and UTF-8 bytes of their parameters and metadata together: one conditional write carries them. */
  decisionEvents: 100,
  decisionBytes: 262_144,
  /** UTF-8 bytes of what a command is answered; kept as long as the history. */
  decisionResultBytes: 65_536,
  /** Bytes of one line or message of input. */
  inputBytes: 1_048_576,
  /** Bytes kept of one quarantined input; of the rest only its digest and size are kept. */
  quarantineBytes: 65_536,
  /** UTF-8 bytes of a view row's key. */
  rowKeyBytes: 1_024,
  /** Distinct values of one `@Set` field of one row. */
  setValues: 1_000,
  /** The first and last event time: 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z. */
  eventTimeMin: -62_135_596_800_000,
  eventTimeMax: 253_402_300_799_999,
} as const;
