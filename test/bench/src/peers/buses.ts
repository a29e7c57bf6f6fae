/** The peers' buses in process: publish a typed event to a handler. Those that await nothing are given turns of the event loop to drain. */
import { isInstalled, load } from './peer.js';

/** An event class of the publish case, and the handler that counts. */
export interface PublishType {
  readonly name: string;
  readonly Event: new (value: object) => object;
  readonly handle: (event: object) => void;
}

export interface PeerBus {
  readonly name: string;
  /** False: `publish` returns before the handler is done, and tells nobody of its errors. */
  readonly awaits: boolean;
  publish(event: object, type: PublishType): unknown;
  close(): Promise<void>;
}

interface EmmettBus {
  getInMemoryMessageBus(): {
    subscribe(handler: (message: { readonly data: object }) => void, ...types: string[]): void;
    publish(message: { readonly type: string; readonly data: object }): Promise<void>;
  };
}

type AnyClass = new (...args: never[]) => object;
interface App {
  init(): Promise<unknown>;
  get(token: unknown): unknown;
  close(): Promise<void>;
}
interface Nest {
  Injectable(): (cls: AnyClass) => void;
  Module(options: object): (cls: AnyClass) => void;
  readonly NestFactory: { createApplicationContext(cls: AnyClass, options: object): Promise<App> };
  readonly CqrsModule: { forRoot(): object };
  readonly EventBus: unknown;
  EventsHandler(cls: AnyClass): (target: AnyClass) => void;
  readonly EventEmitter2: unknown;
  readonly EventEmitterModule: { forRoot(): object };
  OnEvent(name: string): (target: object, key: string, descriptor: PropertyDescriptor) => void;
}

function handlerClass(type: PublishType): AnyClass {
  const made = {
    [`Handle${type.name}`]: class {
      handle(event: object): void {
        type.handle(event);
      }
    },
  };
  return made[`Handle${type.name}`]!;
}

async function appOf(nest: Nest, imports: readonly object[], providers: readonly AnyClass[]): Promise<App> {
  class AppModule {}
  nest.Module({ imports, providers })(AppModule);
  const app = await nest.NestFactory.createApplicationContext(AppModule, { logger: false });
  await app.init();
  return app;
}

async function cqrs(types: readonly PublishType[]): Promise<PeerBus> {
  const nest = await load<Nest>('nest');
  const handlers = types.map((type) => {
    const cls = handlerClass(type);
    nest.EventsHandler(type.Event as AnyClass)(cls);
    return cls;
  });
  const app = await appOf(nest, [nest.CqrsModule.forRoot()], handlers);
  const bus = app.get(nest.EventBus) as { publish(event: object): unknown };
  return { name: '@nestjs/cqrs', awaits: false, publish: (event) => bus.publish(event), close: () => app.close() };
}

async function eventEmitter(types: readonly PublishType[]): Promise<PeerBus> {
  const nest = await load<Nest>('nest');
  const handlers = types.map((type) => {
    const cls = handlerClass(type);
    nest.OnEvent(type.name)(
      cls.prototype as object,
      'handle',
      Object.getOwnPropertyDescriptor(cls.prototype, 'handle')!,
    );
    nest.Injectable()(cls);
    return cls;
  });
  const app = await appOf(nest, [nest.EventEmitterModule.forRoot()], handlers);
  const emitter = app.get(nest.EventEmitter2) as { emit(name: string, event: object): unknown };
  return {
    name: '@nestjs/event-emitter',
    awaits: false,
    publish: (event, type) => emitter.emit(type.name, event),
    close: () => app.close(),
  };
}

async function emmett(types: readonly PublishType[]): Promise<PeerBus> {
  const bus = (await load<EmmettBus>('emmett')).getInMemoryMessageBus();
  for (const type of types) bus.subscribe((message) => type.handle(message.data), type.name);
  return {
    name: 'emmett bus',
    awaits: true,
    publish: (event, type) => bus.publish({ type: type.name, data: event }),
    close: () => Promise.resolve(),
  };
}

/** A bus of each installed peer, its handlers registered. */
export async function peerBuses(types: readonly PublishType[]): Promise<readonly PeerBus[]> {
  const buses: PeerBus[] = [];
  if (isInstalled('nest')) buses.push(await cqrs(types), await eventEmitter(types));
  if (isInstalled('emmett')) buses.push(await emmett(types));
  return buses;
}
