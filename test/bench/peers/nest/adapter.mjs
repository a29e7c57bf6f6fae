// What the bench needs of Nest and its event packages, from one tree of dependencies.
import 'reflect-metadata';
export { Injectable, Module } from '@nestjs/common';
export { NestFactory } from '@nestjs/core';
export { CqrsModule, EventBus, EventsHandler } from '@nestjs/cqrs';
export { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
