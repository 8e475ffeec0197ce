"""How an image gets into an environment on AWS, and back: what the make targets `image-*` and `deploy-*` run.

Python's own library alone, so that it runs on a machine that has AWS's command line, Docker and Terraform.
"""
