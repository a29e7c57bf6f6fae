/** Makes the application, ready to listen: what `main.ts` runs and specs start in their own process. */
import { fileURLToPath } from 'node:url';
import type { LogLevel } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { NextFunction, Request, Response } from 'express';
import { AppModule } from './app.module.js';
import type { Settings } from './settings.js';
import { tellBrokenBodies } from './web/broken-bodies.js';
import { ProblemFilter } from './web/problem.js';

/** The page lies beside the sources; the compiler does not copy it. */
const PAGE = fileURLToPath(new URL('../src/page', import.meta.url));

const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/** Swagger's page sets styles and its start script in the page itself. */
const API_POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

function headers(request: Request, response: Response, next: NextFunction): void {
  response.setHeader('content-security-policy', /^\/api(\/|-json|$)/.test(request.path) ? API_POLICY : PAGE_POLICY);
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cross-origin-resource-policy', 'same-origin');
  next();
}

export async function createApp(
  settings: Settings,
  logger: LogLevel[] = ['log', 'warn', 'error', 'fatal'],
): Promise<NestExpressApplication> {
  // Bodies are read by whoever takes them: a parser in front would take bad ones away from the quarantine.
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(settings), {
    bodyParser: false,
    forceCloseConnections: true,
    logger,
    abortOnError: false,
  });
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(headers);
  app.useGlobalFilters(new ProblemFilter());
  app.useStaticAssets(PAGE, { index: 'index.html' });
  const document = new DocumentBuilder().setTitle('Concursus sample').setDescription('Parcels and flights.').build();
  SwaggerModule.setup('api', app, () => SwaggerModule.createDocument(app, document));
  const server = app.getHttpServer();
  // A body takes as long as its lines take to reach the disk.
  server.requestTimeout = 0;
  tellBrokenBodies(server);
  return app;
}
