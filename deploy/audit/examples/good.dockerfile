FROM python:3.13-slim AS build
FROM python:3.13-slim
USER phonebank
CMD ["phonebank", "web"]
