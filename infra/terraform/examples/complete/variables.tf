variable "package_path" {
  description = "The zip file that `make build` has written"
  type        = string
  default     = "../../../../build/lockgate-arm64.zip"
}
