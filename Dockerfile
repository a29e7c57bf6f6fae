# The sample application: built in one image, run by another user in a second one, with its data in /data.
FROM node:20-slim AS build
WORKDIR /app
COPY . .
RUN npm ci && npm run build && npm prune --omit=dev

FROM node:20-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 CONCURSUS_DATA=/data
RUN mkdir /data && chown node:node /data
WORKDIR /app
COPY --from=build /app .
USER node
VOLUME /data
EXPOSE 3000
# What `npm run start:prod` runs, without npm in between: a signal reaches the application itself.
CMD ["node", "sample-app/dist/main.js"]
