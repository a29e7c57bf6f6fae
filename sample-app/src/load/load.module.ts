/** Loading the sample: asked for by the door of reports, which waits for it, and by the board, which shows it. */
import { Module } from '@nestjs/common';
import { Loader } from './loader.js';

@Module({ providers: [Loader], exports: [Loader] })
export class LoadModule {}
