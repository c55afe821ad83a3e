# docker build -t mobanet .                                                        CPU
# docker build -t mobanet --build-arg BASE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime .   CUDA
# docker run --rm -v $PWD:/work -w /work mobanet mobanet --help
ARG BASE=python:3.11-slim
FROM ${BASE}
ARG TORCH="torch torchvision --index-url https://download.pytorch.org/whl/cpu"
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
# a base that has PyTorch keeps it
RUN python -c 'import torch' 2>/dev/null || pip install --no-cache-dir ${TORCH}
COPY . /opt/mobanet
RUN pip install --no-cache-dir '/opt/mobanet[lite,vector]'
WORKDIR /work
CMD ["mobanet", "--help"]
