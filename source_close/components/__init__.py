"""The components that manifest.yaml names by class, where no built-in of the CDK does the job."""
