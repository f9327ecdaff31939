# breaks: container-as-root, image-of-any-version
FROM python:3.13-slim AS build
USER phonebank
FROM python:latest
CMD ["phonebank", "web"]
