// What the bench needs of emmett's SQLite store; it wants another emmett than the newest.
export { getSQLiteEventStore } from '@event-driven-io/emmett-sqlite';
